/* CKAN's module for an attachment field. It enhances what the page has, and the field works
   without it: see templates/files/snippets/attachment_field.html. */
ckan.module('files-attachment', function () {
  const { Words, Messages, Rows, Uploader, whenRemoved } = window.ckanFiles

  class Field {
    constructor(element) {
      this.element = element
      this.form = element.closest('form') || document.body
      this.words = new Words()
      this.messages = new Messages(element, this.words)
      this.rows = new Rows(element, this.words, this.messages)
      element.querySelector('.files-chooser').hidden = false
      element.addEventListener('click', (event) => this.onClick(event))
      element.addEventListener('htmx:afterSwap', () => this.markChosen())
      const removed = new AbortController()
      whenRemoved(element, () => {
        removed.abort()
        this.uploader?.uploads.end()
        this.form.dispatchEvent(new Event('change')) // its files can be chosen elsewhere
      })
      this.listen(removed.signal)
    }

    // to what happens outside of the field, as long as it is there
    listen(signal) {
      this.form.addEventListener('change', () => this.markChosen(), { signal })
      if (!this.element.querySelector('input[type=file]')) return
      this.uploader = new Uploader(this.element, this.words, this.messages, (file) => this.onFinished(file))
      this.uploader.takeChosen()
      // before CKAN disables the buttons of the form
      document.addEventListener('submit', (event) => this.onSubmit(event), { capture: true, signal })
    }

    onFinished(file) {
      this.rows.add(file)
      if (this.uploader.uploads.unfinished.length) return
      const { submit } = this
      // the question of an unfinished upload has answered itself
      if (this.messages.notice.contains(document.activeElement)) this.uploader.input.focus()
      this.messages.clear()
      this.submit = undefined
      if (submit) submit()
    }

    onClick(event) {
      const choice = event.target.closest('.files-choose')
      if (!choice) return
      const { id, label, url, details } = choice.dataset
      const field = this.rows.fieldWith(id)
      if (field && field !== this.element) return this.messages.announce('chosenIn', { field: labelOf(field) })
      this.rows.add({ id, label, url, details })
    }

    // a file can be in one field of a form only
    markChosen() {
      for (const choice of this.element.querySelectorAll('.files-choose')) {
        const field = this.rows.fieldWith(choice.dataset.id)
        choice.setAttribute('aria-disabled', Boolean(field))
        choice.classList.toggle('is-chosen', Boolean(field))
        const hint = choice.closest('li').querySelector('.files-chosen-in')
        hint.hidden = !field
        hint.textContent = field ? this.words.get('chosenIn', { field: labelOf(field) }) : ''
      }
    }

    onSubmit(event) {
      const form = event.target
      if (form !== this.form || !this.uploader.uploads.unfinished.length) return
      event.preventDefault()
      event.stopImmediatePropagation()
      const submitter = event.submitter || form.querySelector('[type=submit]')
      // a form may have no button that sends it
      this.ask(() => form.requestSubmit(submitter))
    }

    ask(submit) {
      const { uploads, input } = this.uploader
      const template = this.element.querySelector('.files-notice-template')
      const notice = template.content.firstElementChild.cloneNode(true)
      const names = uploads.unfinished.map((row) => this.words.get('unfinished', { name: row.name }))
      notice.querySelector('.files-unfinished').textContent = names.join(' ')
      const part = (name) => notice.querySelector(`.files-${name}`)
      const answer = (name, then) => part(name).addEventListener('click', then)
      answer('finish', () => {
        this.submit = submit
        uploads.resumeAll()
        for (const name of ['unfinished', 'finish', 'without']) part(name).hidden = true
        part('waiting').hidden = false
        part('stay').focus()
      })
      answer('without', () => {
        this.messages.clear()
        uploads.cancelAll()
        submit()
      })
      answer('stay', () => {
        this.messages.clear()
        this.submit = undefined
        input.focus()
      })
      this.messages.show(notice)
      part('finish').focus()
    }
  }

  function labelOf(field) {
    return field.getAttribute('aria-label')
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
