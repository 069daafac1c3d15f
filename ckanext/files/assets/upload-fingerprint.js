/* What tells whether a file is the one of an unfinished upload, in any browser: an upload that goes
   on with another file would mix their bytes. The upload keeps it from its beginning.

   It is made of the name, the size, the second of the last change, and the content, as files that
   were unpacked together may be equal in all others: the whole content up to 64 MiB, which takes
   less than a second, and of larger files as much in pieces that are spread over it. A file that was
   copied without the time of its change counts as another one. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  const PIECES = 256
  const PIECE_SIZE = 256 * 1024

  // empty if the browser cannot read the file
  window.ckanFiles.fingerprint = async (file) => {
    try {
      // a file that was deleted meanwhile says that it is empty
      if (!file.size) await file.arrayBuffer()
      const second = Math.floor(file.lastModified / 1000)
      return [await hashOf(file), file.size, second, file.name].join(' ')
    } catch {
      return ''
    }
  }

  // FNV-1a; crypto.subtle is missing on pages without HTTPS
  async function hashOf(file) {
    const step = Math.max((file.size - PIECE_SIZE) / (PIECES - 1), PIECE_SIZE)
    let hash = 0x811c9dc5
    for (let i = 0; i < PIECES && i * step < file.size; i++) {
      const start = Math.floor(i * step)
      const bytes = await file.slice(start, start + PIECE_SIZE).arrayBuffer()
      for (const byte of new Uint8Array(bytes)) hash = Math.imul(hash ^ byte, 0x01000193)
    }
    return (hash >>> 0).toString(16)
  }
})();
