/* The uploads of an attachment field: Uppy sends them by the tus protocol, the rows show them. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  /* Bytes in one request. What a proxy keeps of a request that is cut off is lost. */
  const CHUNK_SIZE = 8 * 1024 * 1024

  /* Milliseconds before the upload is tried again, while the connection is lost: half an hour. */
  const RETRY_DELAYS = [500, 1000, 2000, 4000, 8000, 15000, ...Array(60).fill(30000)]

  /* A connection that no byte has passed for so long is taken for lost: the browser may not notice. */
  const STALLED_SECONDS = 30

  /* The speed is the one of the last seconds. */
  const SPEED_SECONDS = 5

  window.ckanFiles.Uploads = class {
    constructor(field, words, messages, listeners) {
      this.field = field
      this.words = words
      this.messages = messages
      // unfinished(fingerprint, storage): the address of an upload; finished(file)
      this.listeners = listeners
      this.list = field.querySelector('.files-uploads')
      this.rows = new Map()
      this.turns = 0
      this.uppy = this.start()
      this.list.addEventListener('click', (event) => this.onClick(event))
      this.timer = setInterval(() => this.restartStalled(), 5000)
    }

    start() {
      const { Uppy, Tus } = window.ckanFilesUppy
      // the field shows what goes wrong, and the browser logs it
      const logger = { debug() {}, warn() {}, error() {} }
      const uppy = new Uppy({ autoProceed: true, logger })
      uppy.use(Tus, {
        endpoint: this.field.dataset.endpoint,
        chunkSize: CHUNK_SIZE,
        retryDelays: RETRY_DELAYS,
        limit: 3,
        // which upload goes on is found out by `prepare`, and not by what a browser has stored
        storeFingerprintForResuming: false,
        urlStorage: { findUploadsByFingerprint: async () => [] },
        headers: () => ({ 'X-CSRFToken': window.ckanFiles.csrfToken() }),
        allowedMetaFields: ['name', 'storage', 'form', 'field', 'fingerprint'],
        onShouldRetry: (error, attempt, options, byDefault) => this.onShouldRetry(error, byDefault),
      })
      uppy.addPreProcessor((ids) => this.prepare(ids))
      uppy.on('upload-progress', (file, progress) => file && this.onProgress(file.id, progress))
      uppy.on('upload-success', (file, response) => this.onSuccess(file, response))
      uppy.on('upload-error', (file, error, response) => file && this.onError(file.id, response))
      return uppy
    }

    // unfinished: an upload that goes on, with its address
    add(file, storage, unfinished) {
      let id
      try {
        const { form = '', name: field = '' } = this.field.dataset
        const meta = { storage, form, field }
        id = this.uppy.addFile({ name: file.name, type: file.type, data: file, meta })
        if (unfinished) this.uppy.setFileState(id, { tus: { uploadUrl: unfinished } })
      } catch {
        return // the same file is being uploaded
      }
      this.rows.set(id, this.row(id, file))
      this.messages.announce('started', { name: file.name })
    }

    // an upload of the same file goes on, instead of a new one beside it
    async prepare(ids) {
      for (const id of ids) {
        const { data, meta, tus } = this.uppy.getFile(id) || {}
        if (!data || meta.fingerprint !== undefined) continue
        const fingerprint = await window.ckanFiles.fingerprint(data)
        if (!this.rows.has(id)) continue
        this.uppy.setFileMeta(id, { fingerprint })
        const uploadUrl = tus?.uploadUrl || this.listeners.unfinished(fingerprint, meta.storage)
        if (uploadUrl) this.uppy.setFileState(id, { tus: { uploadUrl } })
      }
    }

    row(id, file) {
      const template = this.field.querySelector('.files-upload-template')
      const element = template.content.firstElementChild.cloneNode(true)
      element.dataset.upload = id
      element.querySelector('.files-name').textContent = file.name
      for (const part of ['pause', 'resume', 'retry', 'cancel']) {
        element.querySelector(`.files-${part}`).setAttribute('aria-label', this.words.get(part, { name: file.name }))
      }
      element.querySelector('.progress').setAttribute('aria-label', this.words.get('progress', { name: file.name }))
      this.list.append(element)
      const row = { element, name: file.name, total: file.size, done: 0, samples: [], state: '' }
      row.turn = ++this.turns
      this.showStarting(row)
      return row
    }

    // those that are not finished, also the ones that have failed
    get unfinished() {
      return [...this.rows.values()]
    }

    get running() {
      return this.unfinished.filter((row) => row.state !== 'failed')
    }

    onProgress(id, { bytesUploaded, bytesTotal }) {
      const row = this.rows.get(id)
      if (!row || row.state === 'paused') return
      row.done = bytesUploaded
      row.total = bytesTotal
      const now = performance.now() / 1000
      row.moved = now
      row.samples = [...row.samples.filter(([time]) => time > now - SPEED_SECONDS), [now, bytesUploaded]]
      this.show(row, 'running')
    }

    onShouldRetry(error, byDefault) {
      const retries = byDefault(error)
      if (retries && !error.originalResponse?.getStatus()) {
        for (const row of this.running.filter((each) => each.state !== 'paused')) this.show(row, 'lost')
      }
      return retries
    }

    // also a request that is not answered; after its last byte the server takes the time it needs
    restartStalled() {
      const before = performance.now() / 1000 - STALLED_SECONDS
      for (const [id, row] of this.rows) {
        const isOver = row.done === row.total || row.state === 'paused' || row.state === 'failed'
        if (isOver || row.moved > before) continue
        row.moved = performance.now() / 1000
        row.samples = []
        this.show(row, 'lost')
        this.uppy.pauseResume(id)
        this.uppy.pauseResume(id)
      }
    }

    onSuccess(file, response) {
      const row = this.rows.get(file.id)
      const id = response.body.xhr.getResponseHeader('File-Id')
      if (!row || !id) return
      this.forget(file.id)
      // Uppy has not finished with it: it would delete the upload at the server
      setTimeout(() => this.uppy.removeFile(file.id))
      this.messages.announce('uploaded', { name: row.name })
      const url = this.field.dataset.download.replace('FILE', id)
      const details = this.words.size(row.total)
      this.listeners.finished({ id, label: row.name, url, details, turn: row.turn })
    }

    onError(id, response) {
      const row = this.rows.get(id)
      if (!row) return
      row.reason = sentences(response?.body?.xhr)
      this.show(row, 'failed')
    }

    onClick(event) {
      const button = event.target.closest('button')
      const element = button?.closest('li')
      const row = element && this.rows.get(element.dataset.upload)
      if (!row) return
      const id = element.dataset.upload
      if (button.matches('.files-pause')) this.pause(id, row)
      else if (button.matches('.files-resume')) this.resume(id, row)
      else if (button.matches('.files-retry')) this.retry(id, row)
      else if (button.matches('.files-cancel')) this.cancel(id, row)
    }

    pause(id, row) {
      this.uppy.pauseResume(id)
      this.show(row, 'paused')
      row.element.querySelector('.files-resume').focus()
    }

    resume(id, row) {
      this.startAgain(row)
      this.uppy.pauseResume(id)
    }

    retry(id, row) {
      this.startAgain(row)
      this.uppy.retryUpload(id)
    }

    startAgain(row) {
      row.samples = []
      this.showStarting(row)
      row.element.querySelector('.files-pause').focus()
    }

    // Uppy sends nothing while the browser is offline
    showStarting(row) {
      row.moved = performance.now() / 1000
      this.show(row, navigator.onLine ? 'starting' : 'lost')
    }

    cancel(id, row) {
      this.drop(id)
      this.messages.announce('cancelled', { name: row.name })
      this.field.querySelector('input[type=file]').focus()
    }

    cancelAll() {
      for (const id of [...this.rows.keys()]) this.drop(id)
    }

    end() {
      clearInterval(this.timer)
      this.cancelAll()
    }

    resumeAll() {
      for (const [id, row] of this.rows) {
        if (row.state === 'paused') this.resume(id, row)
        if (row.state === 'failed') this.retry(id, row)
      }
    }

    drop(id) {
      this.forget(id)
      this.uppy.removeFile(id)
    }

    forget(id) {
      this.rows.get(id).element.remove()
      this.rows.delete(id)
    }

    show(row, state) {
      const changed = row.state !== state
      row.state = state
      const percent = row.total ? Math.floor((row.done * 100) / row.total) : 0
      const text = this.text(row, state)
      const part = (name) => row.element.querySelector(`.files-${name}`)
      row.element.querySelector('.progress').setAttribute('aria-valuenow', percent)
      row.element.querySelector('.progress').setAttribute('aria-valuetext', text)
      row.element.querySelector('.progress-bar').style.width = `${percent}%`
      part('state').textContent = text
      part('state').classList.toggle('text-danger', state === 'failed')
      part('pause').hidden = state === 'paused' || state === 'failed'
      part('resume').hidden = state !== 'paused'
      part('retry').hidden = state !== 'failed'
      if (changed && ['lost', 'failed', 'paused'].includes(state)) this.messages.announce(null, `${row.name}: ${text}`)
    }

    text(row, state) {
      const done = this.words.size(row.done)
      const total = this.words.size(row.total)
      if (state === 'failed') return row.reason || this.words.get('failed')
      if (state === 'starting' && row.done) return this.words.get('done', { done, total })
      if (state !== 'running') return this.words.get(state, { done, total })
      const [[time, bytes], [now]] = [row.samples[0], row.samples.at(-1)]
      const speed = (row.done - bytes) / (now - time)
      if (!(speed > 0)) return this.words.get('done', { done, total })
      const left = this.words.timeLeft((row.total - row.done) / speed)
      return this.words.get('running', { done, total, speed: this.words.size(Math.floor(speed)), time: left })
    }
  }

  // the words of the server about an error, in the shape of CKAN's API
  function sentences(xhr) {
    try {
      const { error } = JSON.parse(xhr.responseText)
      const { __type, message, ...fields } = error
      return [message, ...Object.values(fields).flat()].filter((each) => typeof each === 'string').join(' ')
    } catch {
      return ''
    }
  }
})();
