/* The uploads that were begun on an earlier page: each goes on when its file is chosen again. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  /* Where the browser remembers which field an upload was begun for. */
  const KEY = 'ckan-files-uploads'

  window.ckanFiles.Unfinished = class {
    // goOn: called with a file and the address of its upload
    constructor(field, words, messages, goOn) {
      this.field = field
      this.words = words
      this.messages = messages
      this.goOn = goOn
      this.list = field.querySelector('.files-uploads')
      this.picker = this.filePicker()
      const template = field.querySelector('.files-unfinished-template')
      for (const row of template.content.cloneNode(true).children) {
        if (this.isOurs(row.dataset.url)) this.enhance(row)
      }
    }

    // an upload is shown by the field for which it was begun, or by the first one on the page; a
    // page that is for no field shows all
    isOurs(url) {
      if (!this.field.dataset.name) return true
      const begun = remembered()[url]
      return begun ? begun.field === this.key : document.querySelector('.files-field') === this.field
    }

    get key() {
      return `${location.pathname} ${this.field.dataset.name}`
    }

    remember(url, file) {
      store({ ...remembered(), [url]: { field: this.key, modified: file.lastModified } })
    }

    forget(url) {
      const { [url]: forgotten, ...others } = remembered()
      store(others)
      this.rows.filter((row) => row.dataset.url === url).forEach((row) => row.remove())
    }

    get rows() {
      return [...this.list.querySelectorAll('.files-unfinished-upload')]
    }

    enhance(row) {
      const part = (name) => row.querySelector(`.files-${name}`)
      const name = row.dataset.label
      part('go-on').setAttribute('aria-label', this.words.get('goOn', { name }))
      part('discard').setAttribute('aria-label', this.words.get('discard', { name }))
      part('go-on').addEventListener('click', () => {
        this.chosen = row
        this.picker.click()
      })
      part('discard').addEventListener('click', () => this.discard(row))
      this.list.append(row)
    }

    // not the field's own input: its choice begins a new upload
    filePicker() {
      const picker = document.createElement('input')
      picker.type = 'file'
      picker.className = 'files-picker'
      picker.hidden = true
      picker.setAttribute('form', '')
      picker.addEventListener('change', (event) => {
        event.stopPropagation()
        const [file] = picker.files
        picker.value = ''
        if (file) this.take(file)
      })
      this.field.append(picker)
      return picker
    }

    take(file) {
      const { url, label, size } = this.chosen.dataset
      const modified = remembered()[url]?.modified ?? file.lastModified
      const isSame = file.name === label && file.size === Number(size) && file.lastModified === modified
      if (!isSame) return this.messages.warn(this.words.get('otherFile', { name: file.name, expected: label }))
      this.messages.clear()
      this.chosen.remove()
      this.goOn(file, url)
    }

    async discard(row) {
      const { url, label } = row.dataset
      const headers = { 'Tus-Resumable': '1.0.0', 'X-CSRFToken': window.ckanFiles.csrfToken() }
      try {
        const answer = await fetch(url, { method: 'DELETE', headers })
        if (!answer.ok && answer.status !== 404 && answer.status !== 410) throw new Error(answer.status)
      } catch {
        return this.messages.warn(this.words.get('failed'))
      }
      this.forget(url)
      row.remove()
      this.messages.clear()
      this.messages.announce('cancelled', { name: label })
      this.field.querySelector('input[type=file]').focus()
    }
  }

  // a browser may keep nothing: then uploads go on only until the page is left
  function remembered() {
    try {
      return JSON.parse(localStorage.getItem(KEY)) || {}
    } catch {
      return {}
    }
  }

  function store(uploads) {
    try {
      localStorage.setItem(KEY, JSON.stringify(uploads))
    } catch {
      // nothing is remembered
    }
  }
})();
