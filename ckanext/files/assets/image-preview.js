/* CKAN's module for the preview of an image: says so in words when the browser cannot show it. */
ckan.module('files-image-preview', function () {
  return {
    initialize: function () {
      const image = this.el[0].querySelector('img')
      // the error may have been before this script was there; of an SVG the width may be unknown
      image.decode().catch(() => {
        if (image.naturalWidth) return
        image.hidden = true
        this.el[0].querySelector('.files-not-shown').hidden = false
      })
    },
  }
})
