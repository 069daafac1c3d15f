/* The token of the session, which CKAN writes into each page, for requests that change something. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  window.ckanFiles.csrfToken = () => {
    const field = document.querySelector('meta[name=csrf_field_name]')?.content
    return document.querySelector(`meta[name="${field}"]`)?.content || ''
  }
})();
