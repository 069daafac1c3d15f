/* The uploads of a field or a page: Uppy sends them by the tus protocol, the rows show them. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  /* Bytes in one request. What a proxy keeps of a request that is cut off is lost. */
  const CHUNK_SIZE = 8 * 1024 * 1024

  window.ckanFiles.UploadList = class {
    // takeUnfinished(fingerprint, storage): the address of an upload that goes on; its row is removed
    // ended(file): an upload has left the list, with its file, or without one if it was cancelled
    constructor(field, words, messages, { takeUnfinished, ended }) {
      Object.assign(this, { field, words, messages, takeUnfinished, ended })
      this.list = field.querySelector('.files-uploads')
      // by number, in the order in which the files were chosen
      this.rows = new Map()
      this.turns = 0
      this.prepared = Promise.resolve()
      this.uppy = this.start()
      this.list.addEventListener('click', (event) => this.onClick(event))
      this.timer = setInterval(() => this.restartStalled(), 5000)
    }

    start() {
      const { Uppy, Tus } = window.ckanFilesUppy
      // the field shows what goes wrong, and the browser logs it
      const logger = { debug() {}, warn() {}, error() {} }
      const uppy = new Uppy({ logger })
      uppy.use(Tus, {
        endpoint: this.field.dataset.endpoint,
        chunkSize: CHUNK_SIZE,
        retryDelays: window.ckanFiles.RETRY_DELAYS,
        limit: 3,
        // which upload goes on is found out by `prepare`, and not by what a browser has stored
        storeFingerprintForResuming: false,
        urlStorage: { findUploadsByFingerprint: async () => [] },
        allowedMetaFields: ['name', 'storage', 'form', 'field', 'fingerprint'],
        onBeforeRequest: (request, file) => this.onRequest(request, this.rowOf(file)),
        onShouldRetry: (error, attempt, options, byDefault) => this.onShouldRetry(error, attempt, byDefault),
      })
      uppy.on('upload-progress', (file, progress) => this.onProgress(this.rowOf(file), progress))
      uppy.on('upload-success', (file, response) => this.onSuccess(file, response))
      uppy.on('upload-error', (file, error, response) => this.onError(file, response))
      return uppy
    }

    rowOf(file) {
      return this.rows.get(file?.meta.turn)
    }

    // also the ones that have failed
    get pending() {
      return [...this.rows.values()]
    }

    // upload: see UploadRow
    add(file, upload) {
      const row = new window.ckanFiles.UploadRow(this.field, this.words, this.messages, file, upload)
      row.turn = ++this.turns
      row.element.dataset.upload = row.turn
      this.rows.set(row.turn, row)
      this.list.append(row.element)
      this.begin(row)
      this.messages.announce('started', { name: row.name })
    }

    // one after the other: the first one does not wait for the fingerprints of all
    begin(row) {
      row.begin('preparing')
      this.prepared = this.prepared.then(() => this.prepare(row)).catch(() => row.fail())
    }

    // an upload of the same file goes on, instead of a new one beside it
    async prepare(row) {
      const isOver = () => !this.rows.has(row.turn) || row.id || row.state === 'paused'
      if (isOver()) return
      row.fingerprint ||= await window.ckanFiles.fingerprint(row.file)
      if (isOver()) return
      if (!row.fingerprint) return row.fail(this.words.get('unreadable', { name: row.name }))
      const isSame = (each) => each.fingerprint === row.fingerprint && each.storage === row.storage
      const same = this.pending.find((each) => each !== row && isSame(each))
      if (same) return this.merge(row, same)
      row.url ||= this.takeUnfinished(row.fingerprint, row.storage)
      this.send(row)
    }

    // a file that was chosen once more
    merge(row, same) {
      this.forget(row)
      if (same.state === 'failed') this.begin(same)
      else this.messages.announce('alreadyUploading', { name: row.name })
    }

    send(row) {
      const { form = '', name: field = '' } = this.field.dataset
      const { file, storage, fingerprint, turn } = row
      // Uppy takes two files of the same name, type, size, time and path for one
      const meta = { storage, form, field, fingerprint, turn, relativePath: String(turn) }
      row.id = this.uppy.addFile({ name: file.name, type: file.type, data: file, meta })
      if (row.url) this.uppy.setFileState(row.id, { tus: { uploadUrl: row.url } })
      row.begin('waiting')
      // what goes wrong with a file comes as `upload-error`
      this.uppy.upload().catch(() => {})
    }

    // Uppy's queue may hold back a request that it has announced
    onRequest(request, row) {
      request.setHeader('X-CSRFToken', window.ckanFiles.csrfToken())
      if (!row) return
      row.xhr = request.getUnderlyingObject()
      row.xhr.addEventListener('loadstart', () => row.send())
      if (request.getMethod() === 'POST') this.onCreation(request, row)
      else row.url = request.getURL()
    }

    // Only the answer to this POST has the address of the upload. So neither a pause nor a removal
    // aborts the POST; tus calls `abort` of its request.
    onCreation(request, row) {
      const { xhr } = row
      const goesOn = () => row.id && row.state !== 'paused'
      request.abort = async () => {}
      xhr.timeout = window.ckanFiles.STALLED_SECONDS * 1000
      xhr.addEventListener('loadstart', () => {
        row.creation = new Promise((resolve) => xhr.addEventListener('loadend', resolve))
      })
      // `loadend` sends it once more
      xhr.addEventListener('timeout', () => {
        if (!goesOn()) return
        row.lose()
        this.setPaused(row, true)
      })
      xhr.addEventListener('loadend', () => {
        row.creation = undefined
        const address = xhr.getResponseHeader('Location')
        if (address) row.url = new URL(address, xhr.responseURL).href
        if (!goesOn() || !this.isPaused(row)) return
        if (row.state === 'starting') row.begin('waiting')
        this.setPaused(row, false)
      })
    }

    onProgress(row, { bytesUploaded, bytesTotal }) {
      row?.move(bytesUploaded, bytesTotal)
    }

    onShouldRetry(error, attempt, byDefault) {
      const token = attempt === 0 && error.originalResponse?.getHeader('X-CSRFToken')
      const retries = window.ckanFiles.renewCsrfToken(token) || byDefault(error)
      const request = error.originalRequest.getUnderlyingObject()
      const row = this.pending.find((each) => each.xhr === request)
      if (row && retries) {
        row.isSent = false
        if (!error.originalResponse?.getStatus()) row.lose()
      }
      return retries
    }

    restartStalled() {
      for (const row of this.pending.filter((each) => each.isStalled)) {
        row.lose()
        this.setPaused(row, true)
        this.setPaused(row, false)
      }
    }

    onSuccess(file, response) {
      const row = this.rowOf(file)
      if (!row) return // an empty file that was cancelled: its creation has already finished it
      // Uppy has not finished with it
      setTimeout(() => this.uppy.removeFile(file.id))
      const header = (name) => response.body.xhr.getResponseHeader(name)
      const id = header('File-Id')
      if (!id) return row.fail()
      this.messages.announce('uploaded', { name: row.name })
      const url = this.field.dataset.download.replace('FILE', id)
      const format = decodeURIComponent(header('File-Format') || '')
      const details = [format, this.words.size(row.total)].filter(Boolean).join(', ')
      this.forget(row, { id, label: row.name, url, details, turn: row.turn })
    }

    // Uppy would try again what has failed, before it sends anything new
    onError(file, response) {
      this.uppy.removeFile(file.id)
      const xhr = response?.body?.xhr
      this.rowOf(file)?.fail(sentences(xhr), xhr?.status === 401)
    }

    onClick(event) {
      const button = event.target.closest('button')
      const row = this.rows.get(Number(button?.closest('li').dataset.upload))
      if (!row) return
      if (button.matches('.files-pause')) this.pause(row)
      else if (button.matches('.files-resume')) this.resume(row)
      else if (button.matches('.files-retry')) this.begin(row)
      else if (button.matches('.files-cancel')) this.cancel(row)
    }

    pause(row) {
      if (row.id) this.setPaused(row, true)
      row.pause()
    }

    resume(row) {
      if (!row.id) return this.begin(row)
      row.begin(row.creation ? 'starting' : 'waiting')
      if (!row.creation) this.setPaused(row, false)
    }

    isPaused(row) {
      return Boolean(this.uppy.getFile(row.id).isPaused)
    }

    // Uppy can only toggle
    setPaused(row, isPaused) {
      if (this.isPaused(row) !== isPaused) this.uppy.pauseResume(row.id)
    }

    cancel(row) {
      this.drop(row)
      this.messages.announce('cancelled', { name: row.name })
    }

    // Resolves when the server is asked to discard them, and after two seconds at the latest: a page
    // that ends does not learn the address of what the server still creates.
    cancelAll() {
      const dropped = Promise.all(this.pending.map((row) => this.drop(row)))
      return Promise.race([dropped, new Promise((resolve) => setTimeout(resolve, 2000))])
    }

    end() {
      clearInterval(this.timer)
      this.cancelAll()
      this.uppy.destroy()
    }

    resumeAll() {
      for (const row of this.pending) {
        if (row.state === 'paused') this.resume(row)
        if (row.state === 'failed') this.begin(row)
      }
    }

    async drop(row) {
      if (row.id) {
        // Uppy's own DELETE fails while the connection is lost, and then keeps one of its three
        // slots. Without an address Uppy sends none; discardLater does.
        const upload = this.uppy.getPlugin('Tus').uploaders[row.id]
        if (upload) upload.url = null
        this.uppy.removeFile(row.id)
      }
      this.forget(row)
      await row.creation
      if (row.url) window.ckanFiles.discardLater(row.url)
    }

    forget(row, file) {
      const hadFocus = row.element.contains(document.activeElement)
      row.element.remove()
      // otherwise the keyboard would be gone to the top of the page
      if (hadFocus) this.field.querySelector('input[type=file]').focus()
      this.rows.delete(row.turn)
      row.id = undefined
      this.ended(file)
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
