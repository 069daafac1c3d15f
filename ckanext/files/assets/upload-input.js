/* An input for files whose files are sent at once: choosing and dropping, limits and uploads. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  window.ckanFiles.FileInput = class {
    // ended: called with each file that is uploaded, and without one when an upload was cancelled
    constructor(element, words, messages, ended) {
      this.element = element
      this.words = words
      this.messages = messages
      this.several = Boolean(element.dataset.several)
      this.input = element.querySelector('input[type=file]')
      const goOn = (file, upload) => this.add([file], upload)
      this.unfinished = new window.ckanFiles.Unfinished(element, words, messages, goOn)
      this.uploads = new window.ckanFiles.UploadList(element, words, messages, {
        takeUnfinished: (fingerprint, storage) => this.unfinished.take(fingerprint, storage),
        ended,
      })
      this.listen()
    }

    listen() {
      // the files are sent by themselves, not with the form
      this.input.removeAttribute('name')
      this.input.required = false
      this.element.querySelector('.files-drop-hint').hidden = false
      this.input.addEventListener('change', (event) => {
        event.stopPropagation()
        this.takeChosen()
      })
      const drop = this.element.querySelector('.files-drop')
      const over = (event) => {
        if (![...event.dataTransfer.types].includes('Files')) return
        event.preventDefault()
        drop.classList.toggle('is-over', event.type === 'dragover')
        if (event.type === 'drop') this.take([...event.dataTransfer.files])
      }
      for (const type of ['dragover', 'dragleave', 'drop']) this.element.addEventListener(type, over)
    }

    // what the chosen storage accepts, as the page says it
    get limits() {
      return this.element.querySelector('.files-limits:not([hidden])').dataset
    }

    // also at the beginning: what was chosen before the scripts were there
    takeChosen() {
      const files = [...this.input.files]
      if (!files.length) return
      this.take(files)
      this.input.value = ''
    }

    take(files) {
      this.messages.clear()
      if (!this.several && files.length > 1) return this.messages.warn(this.words.get('onlyOne'))
      const refused = files.map((file) => this.refusal(file)).filter(Boolean)
      if (refused.length) this.messages.warn(refused.join(' '))
      this.add(files.filter((file) => !this.refusal(file)))
    }

    // upload: the storage; if an earlier upload is continued, also its url and fingerprint
    add(files, upload = { storage: this.limits.storage }) {
      if (files.length && !this.several) this.uploads.cancelAll()
      files.forEach((file) => this.uploads.add(file, upload))
    }

    refusal(file) {
      const { maxSize, size, types, typeNames } = this.limits
      const name = file.name
      if (maxSize && file.size > Number(maxSize)) return this.words.get('tooLarge', { name, size })
      const accepted = JSON.parse(types)
      // the server looks into a file whose type the browser does not know
      const isWrong = file.type && accepted.length && !accepted.includes(file.type)
      return isWrong ? this.words.get('wrongType', { name, types: typeNames }) : ''
    }
  }

  // an element may be removed, such as a field in a repeating subfield
  window.ckanFiles.whenRemoved = (element, end) => {
    const observer = new MutationObserver(() => {
      if (element.isConnected) return
      observer.disconnect()
      end()
    })
    observer.observe(document.body, { childList: true, subtree: true })
  }
})();
