/* CKAN's module for the form of the page of the own files: files are sent at once, and appear in
   the list, which htmx loads again. Without it the form sends them. */
ckan.module('files-own-uploads', function () {
  const { Words, Messages, FileInput, whenRemoved } = window.ckanFiles

  class Form {
    constructor(element) {
      this.element = element
      this.words = new Words()
      const messages = new Messages(element, this.words)
      element.querySelector('.files-plain').hidden = true
      this.fileInput = new FileInput(element, this.words, messages, (file) => file && this.onFinished(file))
      whenRemoved(element, () => this.fileInput.uploads.end())
      this.storage = element.querySelector('select.files-storage')
      this.storage?.addEventListener('change', () => this.showLimits())
      this.showLimits()
      this.fileInput.takeChosen()
    }

    // of the chosen storage only
    showLimits() {
      for (const limits of this.element.querySelectorAll('.files-limits')) {
        limits.hidden = this.storage !== null && limits.dataset.storage !== this.storage.value
        if (!limits.hidden) this.fileInput.input.accept = JSON.parse(limits.dataset.types).join(',')
      }
    }

    onFinished({ label, url }) {
      const template = this.element.querySelector('.files-uploaded-template')
      const row = template.content.firstElementChild.cloneNode(true)
      const link = row.querySelector('a')
      link.href = url
      link.textContent = this.words.get('uploaded', { name: label })
      this.element.querySelector('.files-uploads').append(row)
      this.element.dispatchEvent(new Event('files-uploaded', { bubbles: true }))
    }
  }

  return {
    initialize: function () {
      new Form(this.el[0])
    },
  }
})
