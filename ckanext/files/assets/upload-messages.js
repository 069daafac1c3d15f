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

    announce(key, parts) {
      this.say(this.words.get(key, parts))
    }

    say(text) {
      this.status.textContent = text
    }

    // an error, which stays until the next choice
    warn(text) {
      this.show(boxOf('danger', text))
    }

    // a hint, or none any more; an error or a question stays
    note(text) {
      if (this.notice.querySelector('.alert:not(.alert-info)')) return
      if (text) this.show(boxOf('info', text))
      else this.clear()
    }

    // an element with buttons; the next message takes its place
    show(element) {
      this.notice.replaceChildren(element)
    }

    clear() {
      this.notice.replaceChildren()
    }
  }

  function boxOf(kind, text) {
    const box = document.createElement('div')
    box.className = `alert alert-${kind} mt-2 mb-0`
    box.textContent = text
    return box
  }
})();
