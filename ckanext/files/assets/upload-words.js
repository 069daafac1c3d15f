/* The words of fields, or of a page that uploads. The page has them once: scripts only put names and
   numbers in. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  let words
  // now: the field that has them may be one that a user removes before another one is added
  readWords()

  function readWords() {
    const element = document.querySelector('[data-words]')
    if (element) words ||= JSON.parse(element.dataset.words)
    return words
  }

  window.ckanFiles.Words = class {
    constructor() {
      this.words = readWords()
      this.number = numberFormat()
    }

    // the words of this key, with each {part} in them
    get(key, parts = {}) {
      return fill(this.words[key], parts)
    }

    size(bytes) {
      const patterns = this.words.sizes
      const last = patterns.length - 1
      const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), last)
      return fill(patterns[power], { n: this.number.format(Math.floor((bytes * 10) / 1024 ** power) / 10) })
    }

    timeLeft(seconds) {
      const found = this.words.timesLeft.find(([each]) => seconds <= each)
      return found ? found[1] : this.words.moreThanADay
    }
  }

  function fill(pattern, parts) {
    return pattern.replace(/\{(\w+)\}/g, (brace, name) => (name in parts ? parts[name] : brace))
  }

  function numberFormat() {
    const options = { maximumFractionDigits: 1 }
    try {
      return new Intl.NumberFormat(document.documentElement.lang.replace('_', '-'), options)
    } catch {
      return new Intl.NumberFormat(undefined, options)
    }
  }
})();
