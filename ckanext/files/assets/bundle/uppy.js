// What assets/upload-list.js takes from Uppy, as window.ckanFilesUppy
export { Uppy } from '@uppy/core'
export { default as Tus } from '@uppy/tus'
