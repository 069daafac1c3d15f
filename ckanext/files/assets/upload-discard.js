/* Ends uploads at the server, which would keep their bytes until they expire. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  /* Milliseconds before a request is sent again, for half an hour: the connection may be lost, or
     the server be away or still take the last bytes. */
  window.ckanFiles.RETRY_DELAYS = [500, 1000, 2000, 4000, 8000, 15000, ...Array(60).fill(30000)]

  // throws an error if the upload is still there
  window.ckanFiles.discard = async (url) => {
    const { csrfToken, renewCsrfToken } = window.ckanFiles
    const headers = () => ({ 'Tus-Resumable': '1.0.0', 'X-CSRFToken': csrfToken() })
    // the page may end before the answer
    const send = () => fetch(url, { method: 'DELETE', headers: headers(), keepalive: true })
    const first = await send()
    const { ok, status } = renewCsrfToken(first.headers.get('X-CSRFToken')) ? await send() : first
    if (!ok && status !== 404 && status !== 410) throw Object.assign(new Error(), { status })
  }

  // of an upload that the page does not show any more
  window.ckanFiles.discardLater = async (url) => {
    for (const delay of window.ckanFiles.RETRY_DELAYS) {
      try {
        return await window.ckanFiles.discard(url)
      } catch ({ status }) {
        if (status === 401) return
      }
      await new Promise((wake) => setTimeout(wake, delay))
    }
  }
})();
