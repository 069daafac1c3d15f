/* One upload in the list of a field or a page: how far it is, in words and as a bar, and its buttons. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  /* A connection that no byte has passed for so long is taken for lost: the browser may not notice. */
  window.ckanFiles.STALLED_SECONDS = 30

  /* The speed is the one of the last seconds. */
  const SPEED_SECONDS = 5

  /* A speed that was measured for a shorter time says nothing about the time left. */
  const MEASURED_SECONDS = 2

  /* States that a screen reader is told. When one of them ends, it is told that the upload goes on. */
  const SPOKEN = ['lost', 'failed', 'paused']

  const seconds = () => performance.now() / 1000

  /* The states of an upload: "preparing", before Uppy has it; "waiting" for its turn; "starting",
     when its first request is sent; "running"; "storing", when all bytes are sent; "lost", which is
     the connection; "paused"; "failed". */
  window.ckanFiles.UploadRow = class {
    // upload: the storage; of an upload that goes on also its url and the fingerprint of the file
    constructor(field, words, messages, file, { storage, url, fingerprint }) {
      Object.assign(this, { words, messages, file, storage, url, fingerprint })
      this.name = file.name
      this.total = file.size
      this.done = 0
      this.samples = []
      // the user has said that the form is saved without it
      this.isLeftOut = false
      // resolves when the request ends that creates the upload; undefined unless it is on its way
      this.creation = undefined
      // Uppy's id of the file; undefined before and after Uppy has it
      this.id = undefined
      this.element = field.querySelector('.files-upload-template').content.firstElementChild.cloneNode(true)
      this.part('name').textContent = file.name
      for (const part of ['pause', 'resume', 'retry', 'cancel']) {
        this.part(part).setAttribute('aria-label', words.get(part, { name: file.name }))
      }
      this.bar = this.element.querySelector('.progress')
      this.bar.setAttribute('aria-label', words.get('progress', { name: file.name }))
    }

    part(name) {
      return this.element.querySelector(`.files-${name}`)
    }

    // Uppy sends nothing while the browser is offline
    begin(state) {
      this.samples = []
      this.isSent = false
      this.show(navigator.onLine ? state : 'lost')
    }

    // a request of the upload is on its way
    send() {
      this.isSent = true
      this.moved = seconds()
      if (this.state === 'waiting') this.show('starting')
    }

    move(done, total) {
      if (this.state === 'paused') return
      Object.assign(this, { done, total, moved: seconds() })
      this.samples = [...this.samples.filter(([time]) => time > this.moved - SPEED_SECONDS), [this.moved, done]]
      this.show(done === total ? 'storing' : 'running')
    }

    // also a request that is not answered; after its last byte the server takes the time it needs;
    // the one that creates the upload has a time limit of its own
    get isStalled() {
      const isMoving = ['starting', 'running', 'lost'].includes(this.state)
      const isWatched = this.isSent && isMoving && !this.creation
      return isWatched && this.moved < seconds() - window.ckanFiles.STALLED_SECONDS
    }

    lose() {
      this.samples = []
      this.isSent = false
      this.show('lost')
    }

    pause() {
      this.isSent = false
      this.show('paused')
    }

    // reason: a text, if it is known
    fail(reason, needsLogin = false) {
      Object.assign(this, { id: undefined, reason, needsLogin })
      this.show('failed')
    }

    show(state) {
      const before = this.state
      this.state = state
      const percent = this.total ? Math.floor((this.done * 100) / this.total) : 0
      const text = this.text()
      this.bar.setAttribute('aria-valuenow', percent)
      this.bar.setAttribute('aria-valuetext', text)
      this.bar.querySelector('.progress-bar').style.width = `${percent}%`
      this.part('state').textContent = text
      this.part('login').hidden = state !== 'failed' || !this.needsLogin
      this.part('state').classList.toggle('text-danger', state === 'failed')
      const focused = document.activeElement
      this.part('pause').hidden = state === 'paused' || state === 'failed'
      this.part('resume').hidden = state !== 'paused'
      this.part('retry').hidden = state !== 'failed'
      // a button that is gone would leave the keyboard at the top of the page
      if (focused?.hidden && this.element.contains(focused)) this.element.querySelector('button:not([hidden])').focus()
      if (state === before) return
      if (SPOKEN.includes(state)) this.messages.say(`${this.name}: ${text}`)
      else if (SPOKEN.includes(before)) this.messages.announce('started', { name: this.name })
    }

    text() {
      const parts = { done: this.words.size(this.done), total: this.words.size(this.total) }
      if (this.state === 'failed') return this.reason || this.words.get('failed')
      if (this.state === 'preparing' || this.state === 'starting') {
        return this.done ? this.words.get('done', parts) : this.words.get('starting')
      }
      if (this.state !== 'running') return this.words.get(this.state, parts)
      const [[time, bytes], [now]] = [this.samples[0], this.samples.at(-1)]
      const speed = (this.done - bytes) / (now - time)
      if (now - time < MEASURED_SECONDS || !(speed > 0)) return this.words.get('done', parts)
      const left = this.words.timeLeft((this.total - this.done) / speed)
      return this.words.get('running', { ...parts, speed: this.words.size(Math.floor(speed)), time: left })
    }
  }
})();
