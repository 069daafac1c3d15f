/* The files in an attachment field: chosen ones, whose ids are sent with the form, and those that
   are taken out, with what is to happen to them. */
(() => {
  'use strict'

  window.ckanFiles = window.ckanFiles || {}

  window.ckanFiles.Rows = class {
    // replacing: called before a file takes the place of all others, in a field of one file
    constructor(field, words, messages, replacing) {
      this.field = field
      this.words = words
      this.messages = messages
      this.replacing = replacing
      this.several = Boolean(field.dataset.several)
      this.chosen = field.querySelector('.files-chosen')
      this.takenOut = field.querySelector('.files-taken-out')
      for (const row of [...this.chosen.children, ...this.takenOut.children]) this.enhance(row)
      this.chosen.addEventListener('click', (event) => this.onClick(event))
      this.takenOut.addEventListener('click', (event) => this.onClick(event))
      this.arrange()
    }

    // the attachment field of the form that has a file
    fieldWith(id) {
      return this.rowsOfForm('.files-chosen').find((row) => row.dataset.id === id)?.closest('.files-field')
    }

    rowsOfForm(list) {
      const form = this.field.closest('form') || document
      return [...form.querySelectorAll(`.files-field ${list} > li`)]
    }

    // file: id, label, the url and details of its link; turn: the number of its upload
    add(file) {
      if (this.fieldWith(file.id) === this.field) return this.messages.announce('alreadyChosen', { name: file.label })
      this.messages.note('')
      const replaced = this.several ? [] : [...this.chosen.children]
      if (!this.several) this.replacing()
      for (const row of replaced) this.takeOut(row)
      // also out of another field: it moves from there
      const earlier = this.rowsOfForm('.files-taken-out').find((row) => row.dataset.id === file.id)
      const row = this.chosenRow(file, earlier !== undefined)
      earlier?.remove()
      if (file.turn) Object.assign(row.dataset, { turn: file.turn, own: 'yes' })
      // files stay in the order in which they were chosen, whichever upload is finished first
      const later = [...this.chosen.children].find((each) => each.dataset.turn > Number(file.turn))
      this.chosen.insertBefore(row, later || null)
      this.changed()
      const gone = replaced.map((each) => this.words.get('takenOut', { name: each.dataset.label }))
      this.messages.say([this.words.get('chosen', { name: file.label }), ...gone].join(' '))
    }

    takeOut(row) {
      const { label, stored, own } = row.dataset
      if (stored) this.takenOut.append(this.takenOutRow(row))
      row.remove()
      this.changed()
      this.messages.announce('takenOut', { name: label })
      if (own) this.messages.note(this.words.get('inMyFiles', { name: label }))
    }

    onClick(event) {
      const button = event.target.closest('button')
      const row = button?.closest('li')
      if (!row) return
      const { label } = row.dataset
      if (button.matches('.files-remove')) {
        const next = row.nextElementSibling || row.previousElementSibling
        this.takeOut(row)
        const focused = next?.querySelector('.files-remove') || this.takenOut.lastElementChild?.querySelector('.files-undo')
        ;(focused || this.field.querySelector('input[type=file], summary'))?.focus()
      } else if (button.matches('.files-undo')) {
        this.add({ id: row.dataset.id, label, ...linkOf(row) })
        this.chosen.lastElementChild.querySelector('.files-remove').focus()
        this.messages.announce('putBack', { name: label })
      } else if (button.matches('.files-up, .files-down')) this.move(row, button)
    }

    move(row, button) {
      const other = button.matches('.files-up') ? row.previousElementSibling : row.nextElementSibling
      if (!other) return
      if (button.matches('.files-up')) other.before(row)
      else other.after(row)
      this.changed()
      button.focus()
      const number = [...this.chosen.children].indexOf(row) + 1
      this.messages.announce('moved', { name: row.dataset.label, n: number })
    }

    chosenRow(file, stored) {
      const row = this.clone('.files-chosen-template', file)
      row.querySelector('input').value = file.id
      const link = row.querySelector('a')
      link.textContent = file.label
      if (file.url) link.href = file.url
      if (file.details) row.querySelector('small').textContent = `(${file.details})`
      if (stored) row.dataset.stored = 'yes'
      return row
    }

    takenOutRow(chosen) {
      const { id, label } = chosen.dataset
      const row = this.clone('.files-taken-out-template', { id, label })
      row.querySelector('.files-name').textContent = label
      for (const option of row.querySelectorAll('option')) option.value = `${id} ${option.dataset.then}`
      // a file that the visitor may not see has neither
      const { url, details } = linkOf(chosen)
      if (url) row.dataset.url = url
      if (details) row.dataset.details = details
      if (details) row.querySelector('.files-details').textContent = `(${details})`
      return row
    }

    clone(template, { id, label }) {
      const row = this.field.querySelector(template).content.firstElementChild.cloneNode(true)
      Object.assign(row.dataset, { id, label })
      this.enhance(row)
      return row
    }

    // buttons without their file's name would all be called alike
    enhance(row) {
      const { label } = row.dataset
      for (const part of ['up', 'down', 'remove', 'undo']) {
        row.querySelector(`.files-${part}`)?.setAttribute('aria-label', this.words.get(part, { name: label }))
      }
      row.querySelector('select')?.setAttribute('aria-label', this.words.get('then', { name: label }))
      for (const hidden of row.querySelectorAll('[hidden]')) hidden.hidden = false
    }

    // an empty value is sent where no other is; the first file cannot go up, nor the last one down
    arrange() {
      const rows = [...this.chosen.children]
      this.field.querySelector('.files-empty').disabled = rows.length > 0 && !this.several
      rows.forEach((row, i) => {
        const buttons = [row.querySelector('.files-up'), row.querySelector('.files-down')]
        buttons.forEach((button) => button?.removeAttribute('aria-disabled'))
        if (i === 0) buttons[0]?.setAttribute('aria-disabled', 'true')
        if (i === rows.length - 1) buttons[1]?.setAttribute('aria-disabled', 'true')
      })
    }

    // CKAN asks before a form with changes is left, and not before any other
    changed() {
      this.arrange()
      this.field.dispatchEvent(new Event('change', { bubbles: true }))
    }
  }

  function linkOf(row) {
    const link = row.querySelector('.files-name a')
    const details = row.querySelector('.files-name small')?.textContent.replace(/^\(|\)$/g, '')
    return link ? { url: link.getAttribute('href'), details } : { url: row.dataset.url, details: row.dataset.details }
  }
})();
