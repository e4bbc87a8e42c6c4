// <wb-archive condition="…" purpose="support|case|cohort">: looks for studies in the site's archives and brings series in.
// What is found stands here and nowhere else: it names patients, so Python is not told and nothing is kept.
(() => {
  'use strict';
  const LOOKS = `
    :host { display: block; margin-top: var(--wb-s2); font: inherit; color: var(--wb-text); }
    :host([hidden]) { display: none; }
    details { border: 1px solid var(--wb-line); border-radius: var(--wb-r2); background: var(--wb-surface); }
    summary { cursor: pointer; padding: var(--wb-s2) var(--wb-s3); }
    form, .found { padding: 0 var(--wb-s3) var(--wb-s3); }
    form { display: flex; flex-wrap: wrap; gap: var(--wb-s2); align-items: end; }
    label { display: grid; gap: 2px; font-size: var(--wb-t-small); color: var(--wb-muted); }
    input, select, button { font: inherit; color: var(--wb-text); background: var(--wb-field); border: 1px solid var(--wb-edge); border-radius: var(--wb-r1); padding: 5px 8px; min-width: 0; }
    input { width: 9em; } input[type=checkbox] { width: auto; }
    button { cursor: pointer; background: var(--wb-raised); } button:hover { background: var(--wb-hover); }
    button.main { background: var(--wb-primary); border-color: var(--wb-primary); color: #fff; }
    button:disabled { opacity: 0.5; cursor: default; }
    :is(input, select, button, summary):focus-visible { outline: 2px solid var(--wb-accent); outline-offset: 2px; }
    .table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
    th, td { text-align: left; padding: 4px 8px; border-bottom: 1px solid var(--wb-line); vertical-align: top; }
    th { color: var(--wb-muted); font-weight: 600; font-size: var(--wb-t-small); }
    p { margin: var(--wb-s2) 0; } p.wrong { color: var(--wb-refused); } .last { display: flex; gap: var(--wb-s3); align-items: center; }`;
  const FIELDS = [['patient', 'Patient ID', 'text'], ['accession', 'Accession number', 'text'], ['since', 'From', 'date'], ['until', 'To', 'date'], ['modality', 'Modality', 'text']];
  const make = (tag, given = {}, ...inside) => { const node = Object.assign(document.createElement(tag), given); node.append(...inside); return node; };
  const day = (text) => (/^\d{8}$/.test(text) ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : text);
  const row = (kind, cells) => make('tr', {}, ...cells.map((cell) => make(kind, {}, cell)));

  class Archive extends HTMLElement {
    static get observedAttributes() { return ['condition', 'purpose']; }

    connectedCallback() {
      if (this.shadowRoot) return;
      this.hidden = true;
      this.attachShadow({ mode: 'open' }).append(make('style', { textContent: LOOKS }));
      this.open();
    }

    // Another condition: what was found for the one before must not be brought into it.
    attributeChangedCallback(name, before, now) { if (before !== null && before !== now && this.found) this.found.replaceChildren(); }

    async open() {
      let archives = [];
      try { archives = await (await window.workbench.ask('/api/v1/archives')).json(); } catch (error) { if (error.status !== 403) this.failed = error.message; }
      if (!archives.length && !this.failed) return;
      this.hidden = false;
      this.archive = make('select', { name: 'archive' }, ...archives.map((one) => make('option', { value: one.name, textContent: one.name })));
      this.form = make('form', { autocomplete: 'off' }, make('label', {}, 'Archive', this.archive),
        ...FIELDS.map(([name, said, type]) => make('label', {}, said, make('input', { name, type, autocomplete: 'off' }))),
        make('button', { className: 'main', type: 'submit', textContent: 'Find studies' }));
      this.found = make('div', { className: 'found' });
      this.found.setAttribute('aria-live', 'polite');
      this.form.addEventListener('submit', (event) => { event.preventDefault(); this.look(); });
      this.shadowRoot.append(make('details', {}, make('summary', { textContent: 'From an archive (PACS)' }), this.form, this.found));
      if (this.failed) this.say(this.failed, true);
    }

    say(text, wrong = false) { this.found.replaceChildren(make('p', { textContent: text, className: wrong ? 'wrong' : '' })); }

    async busy(work) {
      const buttons = [...this.shadowRoot.querySelectorAll('button')];
      for (const one of buttons) one.disabled = true;
      try { await work(); } catch (error) { this.say(error.message, true); } finally { for (const one of buttons) one.disabled = false; }
    }

    look() {
      return this.busy(async () => {
        const body = { archive: this.archive.value };
        for (const [name, , type] of FIELDS) { const text = this.form.elements[name].value.trim(); body[name] = type === 'date' ? text.replaceAll('-', '') : text; }
        this.say('Asking the archive …');
        const studies = await (await window.workbench.send('/api/v1/archives/studies', 'POST', body)).json();
        if (!studies.length) { this.say('No study matches.'); return; }
        const rows = studies.map((one) => row('td', [day(one.date), one.modalities.join(' '), one.description, one.patient, one.accession, String(one.instances ?? ''),
          make('button', { type: 'button', textContent: 'Series', ariaLabel: `Series of the study of ${day(one.date)}`, onclick: () => this.series(one) })]));
        this.list(['Date', 'Modality', 'Study', 'Patient ID', 'Accession', 'Images', ''], rows);
      });
    }

    series(study) {
      return this.busy(async () => {
        const archive = this.archive.value;
        const series = await (await window.workbench.send('/api/v1/archives/series', 'POST', { archive, study: study.uid })).json();
        const ticks = series.map((one) => make('input', { type: 'checkbox', value: one.uid, checked: series.length === 1, ariaLabel: `Series ${one.number}` }));
        const rows = series.map((one, k) => row('td', [ticks[k], one.number, one.modality, one.description, String(one.instances ?? '')]));
        this.list(['', 'Number', 'Modality', 'Series', 'Images'], rows);
        const bring = make('button', { type: 'button', className: 'main', textContent: 'Bring in what is ticked' });
        bring.onclick = () => this.bring(archive, ticks.filter((one) => one.checked).map((one) => ({ study: study.uid, series: one.value })));
        this.found.append(make('p', { className: 'last' }, bring, make('span', { textContent: 'Identifiers are removed as for any upload.' })));
      });
    }

    bring(archive, chosen) {
      if (!chosen.length) { window.workbench.toast('Tick a series first.'); return undefined; }
      return this.busy(async () => {
        await window.workbench.send(`/api/v1/conditions/${this.getAttribute('condition')}/retrievals`, 'POST', { archive, chosen, role: this.getAttribute('purpose') });
        this.say('Being brought in. The scans appear here when they have been read.');
        window.workbench.tell(this, 'retrieved');
      });
    }

    list(head, rows) { this.found.replaceChildren(make('div', { className: 'table' }, make('table', {}, make('thead', {}, row('th', head)), make('tbody', {}, ...rows)))); }
  }
  customElements.get('wb-archive') || customElements.define('wb-archive', Archive);
})();
