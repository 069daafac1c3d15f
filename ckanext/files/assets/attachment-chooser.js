/* The list of earlier files in an attachment field: htmx loads it page by page. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  window.ckanFiles.Chooser = class {
    constructor(field, words, messages, rows) {
      Object.assign(this, { field, words, messages, rows })
      const element = field.querySelector('.files-chooser')
      this.choices = element.querySelector('.files-choices')
      this.search = element.querySelector('[type=search]')
      this.loading = element.querySelector('.files-loading')
      this.error = element.querySelector('.files-not-loaded')
      element.hidden = false
      const on = (event, listener) => element.addEventListener(event, listener)
      on('click', (event) => this.onClick(event.target))
      on('htmx:beforeRequest', () => this.onRequest())
      on('htmx:afterRequest', () => this.setLoading(false))
      on('htmx:responseError', ({ target, detail }) => this.fail(target, detail.xhr.status))
      on('htmx:sendError', ({ target }) => this.fail(target))
      on('htmx:afterSwap', (event) => this.onLoaded(event))
    }

    onClick(target) {
      const choice = target.closest('.files-choose')
      if (choice) this.choose(choice)
      if (target.closest('.files-load')) this.loadAgain()
    }

    choose(choice) {
      const { id, label, url, details } = choice.dataset
      const field = this.rows.fieldWith(id)
      if (field && field !== this.field) return this.messages.announce('chosenIn', { field: labelOf(field) })
      this.rows.add({ id, label, url, details })
    }

    onRequest() {
      this.error.hidden = true
      this.setLoading(true)
    }

    setLoading(isLoading) {
      this.choices.setAttribute('aria-busy', isLoading)
      this.loading.hidden = !isLoading
    }

    // from: what htmx has sent the request for
    fail(from, status) {
      this.from = from
      const key = status === 401 ? 'notLoggedIn' : 'notLoaded'
      this.error.querySelector('.files-reason').textContent = this.words.get(key)
      this.error.querySelector('.files-login').hidden = key !== 'notLoggedIn'
      this.error.hidden = false
    }

    loadAgain() {
      const isMore = this.from.matches('.files-more')
      const again = isMore ? this.from : this.search
      again.focus()
      again.dispatchEvent(new Event(isMore ? 'click' : 'search'))
    }

    // once for the whole list, or for each part that takes the place of the button "More files"
    onLoaded({ target, detail }) {
      this.markChosen()
      const part = target.matches('[data-found]') ? target : target.querySelector('[data-found]')
      if (!part) return
      this.messages.say(part.dataset.found)
      // with that button the keyboard would be gone to the top of the page
      const isMore = detail.target !== this.choices
      if (isMore && document.activeElement === document.body) part.querySelector('.files-choose').focus()
    }

    // a file can be in one field of a form only
    markChosen() {
      for (const choice of this.choices.querySelectorAll('.files-choose')) {
        const field = this.rows.fieldWith(choice.dataset.id)
        choice.setAttribute('aria-disabled', Boolean(field))
        const hint = choice.closest('li').querySelector('.files-chosen-in')
        hint.hidden = !field
        hint.textContent = field ? this.words.get('chosenIn', { field: labelOf(field) }) : ''
      }
    }
  }

  function labelOf(field) {
    return field.getAttribute('aria-label')
  }
})();
