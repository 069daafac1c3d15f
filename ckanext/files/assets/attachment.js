/* CKAN's module for an attachment field. It enhances what the page has, and the field works
   without it: see templates/files/snippets/attachment_field.html. */
ckan.module('files-attachment', function () {
  const { Words, Rows, Uploads, Unfinished } = window.ckanFiles

  class Field {
    constructor(element) {
      this.element = element
      this.input = element.querySelector('input[type=file]')
      this.status = element.querySelector('.files-status')
      this.notice = element.querySelector('.files-notice')
      this.words = new Words(element)
      const announce = (key, parts) => this.announce(key, parts)
      this.rows = new Rows(element, this.words, announce)
      for (const hidden of element.querySelectorAll('.files-chooser, .files-drop-hint')) hidden.hidden = false
      element.addEventListener('click', (event) => this.onClick(event))
      element.addEventListener('htmx:afterSwap', () => this.markChosen())
      if (this.input) this.acceptFiles(announce)
    }

    acceptFiles(announce) {
      // the files are sent by themselves, not with the form
      this.input.removeAttribute('name')
      this.uploads = new Uploads(this.element, this.words, announce, {
        started: (url, file) => {
          this.unfinished.forget(url)
          this.unfinished.remember(url, file)
        },
        ended: (url) => this.unfinished.forget(url),
        finished: (file) => this.onFinished(file),
      })
      const goOn = (file, url) => this.add([file], url)
      const say = (error, message) => this.say(error, message)
      this.unfinished = new Unfinished(this.element, this.words, say, goOn)
      this.input.addEventListener('change', (event) => {
        event.stopPropagation()
        this.take([...this.input.files])
        this.input.value = ''
      })
      const drop = this.element.querySelector('.files-drop')
      const over = (event) => {
        if (![...event.dataTransfer.types].includes('Files')) return
        event.preventDefault()
        drop.classList.toggle('is-over', event.type === 'dragover')
        if (event.type === 'drop') this.take([...event.dataTransfer.files])
      }
      for (const type of ['dragover', 'dragleave', 'drop']) this.element.addEventListener(type, over)
      // before CKAN disables the buttons of the form
      document.addEventListener('submit', (event) => this.onSubmit(event), true)
    }

    take(files) {
      this.say('')
      if (!this.rows.several && files.length > 1) return this.say(this.words.get('onlyOne'))
      const refused = files.map((file) => this.refusal(file)).filter(Boolean)
      if (refused.length) this.say(refused.join(' '))
      this.add(files.filter((file) => !this.refusal(file)))
    }

    // unfinished: the address of an upload that goes on
    add(files, unfinished) {
      if (files.length && !this.rows.several) this.uploads.cancelAll()
      files.forEach((file) => this.uploads.add(file, unfinished))
    }

    refusal(file) {
      const { maxSize, types } = this.element.dataset
      const name = file.name
      if (maxSize && file.size > Number(maxSize)) return this.words.get('tooLarge', { name })
      const accepted = JSON.parse(types)
      // the server looks into a file whose type the browser does not know
      if (file.type && accepted.length && !accepted.includes(file.type)) return this.words.get('wrongType', { name })
      return ''
    }

    onFinished(file) {
      this.rows.add(file)
      if (this.uploads.unfinished.length) return
      const { submit } = this
      // the question of an unfinished upload has answered itself
      if (this.notice.contains(document.activeElement)) this.input.focus()
      this.notice.replaceChildren()
      this.submit = undefined
      if (submit) submit()
    }

    onClick(event) {
      const choice = event.target.closest('.files-choose')
      if (!choice) return
      const { id, label, url, details } = choice.dataset
      this.rows.add({ id, label, url, details })
      this.markChosen()
    }

    markChosen() {
      for (const choice of this.element.querySelectorAll('.files-choose')) {
        const chosen = this.rows.has(choice.dataset.id)
        choice.setAttribute('aria-disabled', chosen)
        choice.classList.toggle('is-chosen', chosen)
      }
    }

    onSubmit(event) {
      const form = event.target
      if (!form.contains(this.element) || !this.uploads.unfinished.length) return
      event.preventDefault()
      event.stopImmediatePropagation()
      const submitter = event.submitter || form.querySelector('[type=submit]')
      // a form may have no button that sends it
      this.ask(() => form.requestSubmit(submitter))
    }

    ask(submit) {
      const template = this.element.querySelector('.files-notice-template')
      const notice = template.content.firstElementChild.cloneNode(true)
      const names = this.uploads.unfinished.map((row) => this.words.get('unfinished', { name: row.name }))
      notice.querySelector('.files-unfinished').textContent = names.join(' ')
      const answer = (part, then) =>
        notice.querySelector(`.files-${part}`).addEventListener('click', () => {
          this.notice.replaceChildren()
          then()
        })
      answer('finish', () => {
        this.submit = submit
        this.uploads.resumeAll()
        this.input.focus()
      })
      answer('without', () => {
        this.uploads.cancelAll()
        submit()
      })
      answer('stay', () => this.input.focus())
      this.notice.replaceChildren(notice)
      notice.querySelector('.files-finish').focus()
    }

    // an error, which stays until the next choice
    say(text, message) {
      this.notice.replaceChildren()
      if (message) this.announce(null, message)
      if (!text) return
      const box = document.createElement('div')
      box.className = 'alert alert-danger mt-2 mb-0'
      box.textContent = text
      this.notice.append(box)
    }

    // key and parts of words, or no key and a text
    announce(key, parts) {
      this.status.textContent = key ? this.words.get(key, parts) : parts
    }
  }

  return {
    initialize: function () {
      const element = this.el[0]
      // a field that is added later, such as one in a repeating subfield
      if (window.htmx) window.htmx.process(element)
      new Field(element)
    },
  }
})
