/* The uploads that were begun on an earlier page, in any browser: each goes on when its file is
   chosen again. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  window.ckanFiles.Unfinished = class {
    // goOn: called with a file, and the storage, url and fingerprint of its upload
    constructor(field, words, messages, goOn) {
      this.field = field
      this.words = words
      this.messages = messages
      this.goOn = goOn
      this.list = field.querySelector('.files-uploads')
      this.picker = this.filePicker()
      const template = field.querySelector('.files-unfinished-template')
      // an array: each row leaves the template while the loop goes through it
      for (const row of [...template.content.cloneNode(true).children]) {
        if (this.isOurs(row)) this.enhance(row)
      }
    }

    // The page has the uploads of this form and storage. It does not know the name of a field in a
    // repeating subfield, whose number ckanext-scheming puts in here: a field shows what was begun
    // in it. What is for no field shows all.
    isOurs(row) {
      const { name } = this.field.dataset
      return !name || row.dataset.field === name
    }

    // the address of the upload of a file, which leaves the list; undefined if there is none
    take(fingerprint, storage) {
      const rows = [...this.list.querySelectorAll('.files-unfinished-upload')]
      const isSame = ({ dataset }) => dataset.fingerprint === fingerprint && dataset.storage === storage
      const row = fingerprint && rows.find(isSame)
      if (!row) return undefined
      row.remove()
      return row.dataset.url
    }

    enhance(row) {
      const part = (name) => row.querySelector(`.files-${name}`)
      const name = row.dataset.label
      // missing where the upload was begun by a program
      part('go-on')?.setAttribute('aria-label', this.words.get('goOn', { name }))
      part('go-on')?.addEventListener('click', () => {
        this.chosen = row
        this.picker.click()
      })
      part('discard').setAttribute('aria-label', this.words.get('discard', { name }))
      part('discard').addEventListener('click', () => this.discard(row))
      this.list.append(row)
    }

    // not the field's own input: another file is refused here, and uploaded there
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
        if (file) this.check(file)
      })
      this.field.append(picker)
      return picker
    }

    async check(file) {
      const row = this.chosen
      const { storage, url, label, fingerprint } = row.dataset
      const found = await window.ckanFiles.fingerprint(file)
      const parts = { name: file.name, expected: label }
      if (!found) return this.messages.warn(this.words.get('unreadable', parts))
      if (found !== fingerprint) return this.messages.warn(this.words.get('otherFile', parts))
      if (!row.isConnected) return // it goes on already
      this.messages.clear()
      row.remove()
      this.goOn(file, { storage, url, fingerprint })
      this.list.lastElementChild.querySelector('.files-pause').focus()
    }

    async discard(row) {
      const { url, label } = row.dataset
      try {
        await window.ckanFiles.discard(url)
      } catch {
        return this.messages.warn(this.words.get('notDiscarded', { name: label }))
      }
      row.remove()
      this.messages.clear()
      this.messages.announce('cancelled', { name: label })
      this.field.querySelector('input[type=file]').focus()
    }
  }
})();
