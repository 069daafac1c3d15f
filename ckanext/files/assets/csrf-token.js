/* The token of the session, which CKAN writes into each page, for requests that change something. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  const fieldName = () => document.querySelector('meta[name=csrf_field_name]')?.content

  window.ckanFiles.csrfToken = () => document.querySelector(`meta[name="${fieldName()}"]`)?.content || ''

  // After a login in another tab, the answer that refuses the token of the page has the one of the
  // new session. The forms of the page need it, too. Returns whether there is one.
  window.ckanFiles.renewCsrfToken = (token) => {
    if (!token) return false
    for (const each of document.getElementsByName(fieldName())) {
      each[each.matches('meta') ? 'content' : 'value'] = token
    }
    return true
  }
})();
