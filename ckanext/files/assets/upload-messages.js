/* What a field, or a page that uploads, says: what happens, for screen readers, and what is wrong. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  window.ckanFiles.Messages = class {
    constructor(element, words) {
      this.words = words
      this.status = element.querySelector('.files-status')
      this.notice = element.querySelector('.files-notice')
    }

    // key and parts of words, or no key and a text
    announce(key, parts) {
      this.status.textContent = key ? this.words.get(key, parts) : parts
    }

    // an error, which stays until the next choice
    warn(text, kind = 'danger') {
      this.notice.replaceChildren()
      if (!text) return
      const box = document.createElement('div')
      box.className = `alert alert-${kind} mt-2 mb-0`
      box.textContent = text
      this.notice.append(box)
    }

    // a hint, or none any more; an error or a question stays
    note(text) {
      if (!this.notice.querySelector('.alert:not(.alert-info)')) this.warn(text, 'info')
    }

    // an element with buttons, which stays until one of them is pressed
    show(element) {
      this.notice.replaceChildren(element)
    }

    clear() {
      this.notice.replaceChildren()
    }
  }
})();
