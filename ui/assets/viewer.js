// <wb-viewer>: one scan, or two side by side, as a picture archive shows them. Attributes in, pixels from the server;
// window and level are applied here, so that a drag shows at once. README.md says which attributes there are.
(() => {
  'use strict';
  const AHEAD = 3;
  const KEPT = 160;
  const cache = new Map();

  // A slice as the server sends it: header length (uint32, little-endian), header as JSON, then the pixels.
  const load = (scan, k) => {
    const key = `${scan}/${k}`;
    if (cache.has(key)) { const held = cache.get(key); cache.delete(key); cache.set(key, held); return held; }
    const loading = (async () => {
      const buffer = await (await window.workbench.ask(`/files/slice/${key}`)).arrayBuffer();
      const length = new DataView(buffer).getUint32(0, true);
      const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
      const body = buffer.slice(4 + length);
      return { ...header, pixels: header.channels === 3 ? new Uint8Array(body) : new Uint16Array(body) };
    })();
    cache.set(key, loading);
    loading.catch(() => cache.delete(key));
    while (cache.size > KEPT) cache.delete(cache.keys().next().value);
    return loading;
  };

  const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  class Pane {
    constructor(viewer, node) {
      this.viewer = viewer; this.node = node;
      this.canvas = node.querySelector('canvas'); this.picture = document.createElement('canvas');
      this.scan = ''; this.slices = 0; this.k = 0; this.held = null; this.window = null; this.chosen = false; this.asked = 0;
      this.fit();
      this.listen();
    }

    fit() { this.zoom = 1; this.dx = 0; this.dy = 0; this.inverted = false; }

    show(scan, slices, name, at) {
      if (scan === this.scan && slices === this.slices) { this.name = name; this.draw(); return; }
      this.scan = scan; this.slices = slices; this.name = name; this.held = null; this.window = null; this.chosen = false; this.preset = '';
      this.k = at === null ? Math.floor(slices / 2) : clamp(at, 0, Math.max(slices - 1, 0));
      this.fit();
      this.fetch();
    }

    async fetch() {
      const asked = ++this.asked;
      if (!this.scan) { this.draw(); return; }
      try {
        const held = await load(this.scan, this.k);
        if (asked !== this.asked) return;
        this.held = held;
        if (!this.chosen) this.window = [...held.window];
        this.failed = '';
        this.render();
        this.viewer.settle(this);
        for (let step = 1; step <= AHEAD; step += 1) for (const near of [this.k + step, this.k - step]) if (near >= 0 && near < this.slices) load(this.scan, near).catch(() => {});
      } catch (error) {
        if (asked !== this.asked) return;
        this.held = null; this.failed = error.message;
        this.draw();
      }
    }

    slice(k) {
      const next = clamp(k, 0, this.slices - 1);
      if (next === this.k || this.slices < 2) return;
      this.k = next;
      this.fetch();
    }

    setWindow(centre, width, preset = '') { this.window = [centre, Math.max(width, 1e-6)]; this.chosen = true; this.preset = preset; this.render(); this.viewer.settle(this); }

    // Values to grey: low end of the window black, high end white (PS3.3 C.11.2.1.3.2, LINEAR_EXACT).
    render() {
      const held = this.held;
      if (!held) { this.draw(); return; }
      const { rows, columns, pixels, channels } = held;
      const [centre, width] = this.window;
      const low = centre - width / 2;
      const image = new ImageData(columns, rows);
      const out = new Uint32Array(image.data.buffer);
      const slope = channels === 3 ? 1 : held.slope;
      const intercept = channels === 3 ? 0 : held.intercept;
      const full = channels === 3 ? 256 : 65536;
      const table = new Uint8ClampedArray(full);
      for (let v = 0; v < full; v += 1) { const grey = ((v * slope + intercept - low) / width) * 255; table[v] = this.inverted ? 255 - clamp(grey, 0, 255) : grey; }
      const count = rows * columns;
      if (channels === 3) for (let i = 0, j = 0; i < count; i += 1, j += 3) out[i] = 0xff000000 | (table[pixels[j + 2]] << 16) | (table[pixels[j + 1]] << 8) | table[pixels[j]];
      else for (let i = 0; i < count; i += 1) { const grey = table[pixels[i]]; out[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey; }
      this.picture.width = columns; this.picture.height = rows;
      this.picture.getContext('2d').putImageData(image, 0, 0);
      this.draw();
    }

    draw() {
      const ratio = window.devicePixelRatio || 1;
      const box = this.node.getBoundingClientRect();
      const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
      if (!width || !height) return;
      if (this.canvas.width !== width || this.canvas.height !== height) { this.canvas.width = width; this.canvas.height = height; }
      const to = this.canvas.getContext('2d');
      to.setTransform(1, 0, 0, 1, 0, 0);
      to.fillStyle = '#000'; to.fillRect(0, 0, width, height);
      const held = this.held;
      const part = (name) => this.node.querySelector(name);
      const message = part('.message');
      message.hidden = Boolean(held) || (Boolean(this.scan) && !this.failed);
      message.textContent = this.failed || (this.scan ? '' : this.viewer.getAttribute('empty') || 'Choose a scan.');
      part('.name').textContent = this.scan ? this.name : '';
      part('.track').hidden = this.slices < 2;
      this.node.setAttribute('aria-label', held ? `${this.name}, ${this.slices > 1 ? `slice ${this.k + 1} of ${this.slices}, ` : ''}level ${number(this.window[0])}, width ${number(this.window[1])}` : this.name || 'No scan');
      if (!held) { for (const name of ['.at', '.wl', '.size']) part(name).textContent = ''; return; }
      // Pixels that are not square are shown in true proportion.
      const [down, across] = held.spacing && held.spacing[0] > 0 && held.spacing[1] > 0 ? held.spacing : [1, 1];
      const tall = held.rows * down, wide = held.columns * across;
      const scale = Math.min(width / wide, height / tall) * this.zoom;
      to.imageSmoothingEnabled = scale * Math.min(down, across) < 6;
      to.imageSmoothingQuality = 'high';
      to.drawImage(this.picture, width / 2 + this.dx * ratio - (wide * scale) / 2, height / 2 + this.dy * ratio - (tall * scale) / 2, wide * scale, tall * scale);
      part('.at').textContent = this.slices > 1 ? `${this.k + 1} / ${this.slices}` : '';
      const unit = held.units === 'HU' ? ' HU' : '';
      part('.wl').textContent = held.channels === 3 ? '' : `L ${number(this.window[0])}  W ${number(this.window[1])}${unit}`;
      part('.size').textContent = `${held.columns} × ${held.rows}${this.zoom !== 1 ? `\n${Math.round(100 * this.zoom)} %` : ''}`;
      const mark = part('.track i');
      if (this.slices > 1) { mark.style.height = `${Math.max(100 / this.slices, 3)}%`; mark.style.top = `${(100 - Math.max(100 / this.slices, 3)) * (this.k / (this.slices - 1))}%`; }
    }

    zoomBy(factor) { this.zoom = clamp(this.zoom * factor, 0.25, 24); if (this.zoom === 1) { this.dx = 0; this.dy = 0; } this.draw(); }

    level(dx, dy) {
      if (!this.held) return;
      const span = Math.max(this.held.high - this.held.low, 1e-6);
      const step = Math.max(span, this.window[1]) / 600;
      this.setWindow(this.window[0] + dy * step, Math.max(this.window[1] + dx * step, span / 65535));
    }

    reset() { this.fit(); this.chosen = false; this.preset = ''; if (this.held) this.window = [...this.held.window]; this.render(); this.viewer.settle(this); }

    listen() {
      const node = this.node;
      const touches = new Map();
      let drag = null;
      node.addEventListener('pointerdown', (event) => {
        node.focus({ preventScroll: true });
        this.viewer.active = this;
        touches.set(event.pointerId, [event.clientX, event.clientY]);
        node.setPointerCapture(event.pointerId);
        const what = event.pointerType === 'touch' && this.slices > 1 ? 'slice' : event.button === 2 ? 'zoom' : event.button === 1 || this.viewer.space ? 'pan' : this.viewer.tool;
        drag = { what, x: event.clientX, y: event.clientY, from: this.k, startY: event.clientY };
        event.preventDefault();
      });
      node.addEventListener('pointermove', (event) => {
        if (!drag || !touches.has(event.pointerId)) return;
        const before = [...touches.values()];
        touches.set(event.pointerId, [event.clientX, event.clientY]);
        if (touches.size === 2) {
          const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
          this.zoomBy(apart([...touches.values()]) / Math.max(apart(before), 1));
          return;
        }
        const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
        drag.x = event.clientX; drag.y = event.clientY;
        if (drag.what === 'window') this.level(dx, dy);
        if (drag.what === 'zoom') this.zoomBy(Math.exp(-dy / 180));
        if (drag.what === 'pan') { this.dx += dx; this.dy += dy; this.draw(); }
        if (drag.what === 'slice') this.slice(drag.from + Math.round((event.clientY - drag.startY) / Math.max(node.clientHeight / this.slices, 6)));
      });
      for (const name of ['pointerup', 'pointercancel']) node.addEventListener(name, (event) => { touches.delete(event.pointerId); if (!touches.size) drag = null; });
      node.addEventListener('contextmenu', (event) => event.preventDefault());
      node.addEventListener('dblclick', () => this.reset());
      let rolled = 0;
      node.addEventListener('wheel', (event) => {
        event.preventDefault();
        if (event.ctrlKey || this.slices < 2) { this.zoomBy(Math.exp(-event.deltaY / 400)); return; }
        rolled += event.deltaMode === 0 ? event.deltaY / 40 : event.deltaY;
        const whole = Math.trunc(rolled);
        if (whole) { this.slice(this.k + whole); rolled -= whole; }
      }, { passive: false });
      node.addEventListener('focus', () => { this.viewer.active = this; this.viewer.settle(this); });
      node.addEventListener('keydown', (event) => this.key(event));
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const shifted = { ArrowUp: [0, -12], ArrowDown: [0, 12], ArrowLeft: [-12, 0], ArrowRight: [12, 0] }[event.key];
      if (event.shiftKey && shifted) this.level(...shifted);
      else if (event.key === 'PageUp' || (event.key === 'ArrowUp' && this.slices > 1)) this.slice(this.k - 1);
      else if (event.key === 'PageDown' || (event.key === 'ArrowDown' && this.slices > 1)) this.slice(this.k + 1);
      else if (event.key === 'Home') this.slice(0);
      else if (event.key === 'End') this.slice(this.slices - 1);
      else if (event.key === '+' || event.key === '=') this.zoomBy(1.2);
      else if (event.key === '-') this.zoomBy(1 / 1.2);
      else return;
      event.preventDefault(); event.stopPropagation();
    }
  }

  const PANE = '<div class="pane" tabindex="0" role="img"><canvas></canvas><div class="corner name"></div><div class="corner at"></div><div class="corner wl"></div><div class="corner size"></div><div class="track"><i></i></div><div class="message"></div></div>';
  const TREE = `<div class="frame"><div class="panes">${PANE}${PANE}</div><div class="tools" role="toolbar" aria-label="Image tools">
    <button type="button" data-tool="window" aria-pressed="true" title="Drag: level and width">Window</button>
    <button type="button" data-tool="pan" aria-pressed="false" title="Drag: move the image">Move</button>
    <button type="button" data-tool="zoom" aria-pressed="false" title="Drag: zoom">Zoom</button>
    <select aria-label="Window preset" title="Window preset (W)"></select>
    <label class="slicer"><span>Slice</span><input type="range" min="1" step="1" aria-label="Slice"></label>
    <span class="rest"><button type="button" data-do="invert" aria-pressed="false" title="Invert (I)">Invert</button>
    <button type="button" data-do="reset" title="As it was (R)">Reset</button></span></div></div>`;

  class Viewer extends HTMLElement {
    static get observedAttributes() { return ['scan', 'slices', 'name', 'at', 'other', 'other-slices', 'other-name', 'other-at', 'overlay', 'empty']; }

    connectedCallback() {
      if (!this.shadowRoot) this.build();
      this.resizer = new ResizeObserver(() => { for (const pane of this.panes) pane.draw(); });
      this.resizer.observe(this);
      this.refresh();
    }

    disconnectedCallback() { this.resizer.disconnect(); }

    attributeChangedCallback() { if (this.shadowRoot && !this.waiting) { this.waiting = true; queueMicrotask(() => { this.waiting = false; this.refresh(); }); } }

    build() {
      const root = this.attachShadow({ mode: 'open' });
      const styles = document.getElementById('wb-viewer-styles');
      root.innerHTML = `<style>${styles ? styles.textContent : ''}</style>${TREE}`;
      this.tool = 'window'; this.space = false;
      this.panes = [...root.querySelectorAll('.pane')].map((node) => new Pane(this, node));
      this.active = this.panes[0];
      const find = (selector) => root.querySelector(selector);
      this.presets = find('select'); this.slicer = find('.slicer'); this.range = find('.slicer input');
      root.querySelector('.tools').addEventListener('click', (event) => {
        const tool = event.target.closest('[data-tool]');
        if (tool) { this.tool = tool.dataset.tool; for (const one of root.querySelectorAll('[data-tool]')) one.setAttribute('aria-pressed', String(one === tool)); }
        const what = event.target.closest('[data-do]');
        if (what) this.do(what.dataset.do);
      });
      this.presets.addEventListener('change', () => this.preset(this.presets.value));
      this.range.addEventListener('input', () => this.active.slice(Number(this.range.value) - 1));
    }

    // Called by the page's keys as well: 'invert', 'reset', 'preset' (the next one), 'earlier' and 'later' (slices).
    do(what) {
      const pane = this.active;
      if (what === 'invert') { pane.inverted = !pane.inverted; pane.render(); this.settle(pane); }
      if (what === 'reset') pane.reset();
      if (what === 'preset' && this.presets.options.length > 1) this.preset(this.presets.options[(this.presets.selectedIndex + 1) % this.presets.options.length].value);
      if (what === 'earlier') pane.slice(pane.k - 1);
      if (what === 'later') pane.slice(pane.k + 1);
    }

    preset(name) {
      for (const pane of this.panes) {
        if (!pane.held) continue;
        const found = pane.held.presets.find(([other]) => other === name);
        if (found) pane.setWindow(found[1][0], found[1][1], name);
        else if (pane === this.active) { pane.chosen = false; pane.preset = ''; pane.window = [...pane.held.window]; pane.render(); }
      }
      this.settle(this.active);
    }

    // The tools say how the active pane stands; what both measure alike is seen alike.
    settle(pane) {
      const other = this.panes.find((one) => one !== pane);
      if (pane === this.active && pane.chosen && other.held && pane.held && other.held.units === pane.held.units && pane.held.units !== 'display' && (other.window[0] !== pane.window[0] || other.window[1] !== pane.window[1])) {
        other.window = [...pane.window]; other.chosen = true; other.preset = pane.preset; other.render();
      }
      if (pane !== this.active) return;
      this.slicer.hidden = pane.slices < 2;
      this.range.max = String(Math.max(pane.slices, 1)); this.range.value = String(pane.k + 1);
      const presets = pane.held ? pane.held.presets.map(([name]) => name) : [];
      const names = ['As stored', ...presets];
      if ([...this.presets.options].map((one) => one.value).join() !== names.join()) this.presets.replaceChildren(...names.map((name) => new Option(name, name)));
      this.presets.hidden = presets.length === 0;
      this.presets.value = pane.preset || 'As stored';
      this.shadowRoot.querySelector('[data-do=invert]').setAttribute('aria-pressed', String(pane.inverted));
    }

    refresh() {
      const text = (name) => this.getAttribute(name) || '';
      const at = (name) => (this.hasAttribute(name) ? Number(this.getAttribute(name)) : null);
      const [first, second] = this.panes;
      const other = text('other');
      this.shadowRoot.querySelector('.panes').classList.toggle('pair', Boolean(other));
      second.node.hidden = !other;
      if (!other && this.active === second) this.active = first;
      first.show(text('scan'), Number(text('slices') || 1), text('name'), at('at'));
      second.show(other, Number(text('other-slices') || 1), text('other-name'), at('other-at'));
      this.shadowRoot.querySelector('.tools').hidden = !text('scan');
      let over = first.node.querySelector('.over');
      if (text('overlay')) {
        if (!over) { over = document.createElement('img'); over.className = 'over'; first.node.querySelector('canvas').after(over); }
        over.src = text('overlay'); over.alt = text('overlay-name') || 'Overlay';
      } else if (over) over.remove();
      this.settle(this.active);
      for (const pane of this.panes) pane.draw();
    }
  }
  if (!customElements.get('wb-viewer')) customElements.define('wb-viewer', Viewer);

  // Keys of the viewer on the screen, wherever the focus is.
  const DO = { '[': 'earlier', ']': 'later', i: 'invert', r: 'reset', w: 'preset' };
  const shown = () => [...document.querySelectorAll('wb-viewer')].find((one) => window.workbench.seen(one) && one.shadowRoot);
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || window.workbench.typing(event)) return;
    const viewer = shown();
    if (!viewer) return;
    if (event.key === ' ' && viewer.contains(event.target)) { viewer.space = true; event.preventDefault(); }
    if (DO[event.key]) { viewer.do(DO[event.key]); event.preventDefault(); }
  });
  document.addEventListener('keyup', (event) => { const viewer = shown(); if (viewer && event.key === ' ') viewer.space = false; });
})();
