/* CKAN's module for an attachment field. It enhances what the page has, and the field works
   without it: see templates/files/snippets/attachment_field.html. */

// Initial files stay in the form when their field leaves it: a user removes it, or ckanext-scheming's
// script makes a template of it. See pages/form_uploads.py.
for (const input of document.querySelectorAll('[name^="files-initial:"]')) input.form?.append(input)

ckan.module('files-attachment', function () {
  const { Words, Messages, Rows, Chooser, FileInput, whenRemoved } = window.ckanFiles
  // of the page
  const fields = new Set()

  class Field {
    constructor(element) {
      this.element = element
      this.form = element.closest('form') || document.body
      this.words = new Words()
      this.messages = new Messages(element, this.words)
      // a field of one file: choosing a file cancels the upload that runs
      this.rows = new Rows(element, this.words, this.messages, () => this.fileInput?.uploads.cancelAll())
      this.chooser = new Chooser(element, this.words, this.messages, this.rows)
      fields.add(this)
      const removed = new AbortController()
      whenRemoved(element, () => {
        fields.delete(this)
        removed.abort()
        this.fileInput?.uploads.end()
        this.form.dispatchEvent(new Event('change')) // its files can be chosen elsewhere
      })
      this.listen(removed.signal)
    }

    // to what happens outside of the field, as long as it is there
    listen(signal) {
      this.form.addEventListener('change', () => this.chooser.markChosen(), { signal })
      if (!this.element.querySelector('input[type=file]')) return
      this.fileInput = new FileInput(this.element, this.words, this.messages, (file) => this.onEnded(file))
      this.fileInput.takeChosen()
      // before CKAN disables the buttons of the form
      document.addEventListener('submit', (event) => this.onSubmit(event), { capture: true, signal })
    }

    // an upload, with its file unless it was cancelled
    onEnded(file) {
      if (file) this.rows.add(file)
      if (this.pending.length || !this.isAsking) return
      const { submit } = this
      this.stopAsking()
      if (file) submit?.()
    }

    get pending() {
      return this.fileInput?.uploads.pending || []
    }

    // whether it has an upload without which the form is not to be saved, as far as the user has said
    get isUnfinished() {
      return this.pending.some((row) => !row.isLeftOut)
    }

    get fieldsOfForm() {
      return [...fields].filter((field) => field.form === this.form)
    }

    onSubmit(event) {
      const form = event.target
      if (form !== this.form || !(this.isCancelling || this.pending.length)) return
      // another field asks, and what it is told may keep the form open
      if (!this.isUnfinished && this.fieldsOfForm.some((field) => field.isUnfinished)) return
      event.preventDefault()
      event.stopImmediatePropagation()
      if (this.isCancelling) return // it is saved after that
      const submitter = event.submitter || form.querySelector('[type=submit]')
      // a form may have no button that sends it
      const submit = () => form.requestSubmit(submitter)
      if (this.isUnfinished) this.ask(submit)
      else this.cancelAll(submit)
    }

    async cancelAll(submit) {
      this.isCancelling = true
      await this.fileInput.uploads.cancelAll()
      this.isCancelling = false
      submit()
    }

    // Asks whether to wait for the uploads. The form saves itself only while the question is shown;
    // another choice or an error removes it.
    ask(submit) {
      const template = this.element.querySelector('.files-notice-template')
      const question = template.content.firstElementChild.cloneNode(true)
      const names = this.pending.map((row) => this.words.get('unfinished', { name: row.name }))
      question.querySelector('.files-unfinished').textContent = names.join(' ')
      const part = (name) => question.querySelector(`.files-${name}`)
      const answer = (name, then) => part(name).addEventListener('click', then)
      answer('finish', () => {
        this.submit = submit
        this.fileInput.uploads.resumeAll()
        for (const name of ['unfinished', 'finish', 'without']) part(name).hidden = true
        part('waiting').hidden = false
        part('stay').focus()
      })
      answer('without', () => {
        this.stopAsking()
        for (const row of this.pending) row.isLeftOut = true
        submit()
      })
      answer('stay', () => {
        this.stopAsking()
        for (const row of this.fieldsOfForm.flatMap((field) => field.pending)) row.isLeftOut = false
      })
      Object.assign(this, { question, submit: undefined })
      this.messages.show(question)
      part('finish').focus()
    }

    get isAsking() {
      return Boolean(this.question?.isConnected)
    }

    stopAsking() {
      if (this.question.contains(document.activeElement)) this.fileInput.input.focus()
      this.question.remove()
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
