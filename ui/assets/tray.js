// Labelling by keyboard: the mark shows at once and is sent on the way; what the server refuses is taken back and said.
// Python sends the tray again shortly after the last key, which brings counts, agreement and what comes next.
(() => {
  'use strict';
  const SETTLE = 700;
  let current = '';
  let kept = null;
  const waiting = new Map();
  let timer = 0;
  let queue = Promise.resolve();

  const tray = () => [...document.querySelectorAll('.wb-tray')].find(window.workbench.seen);
  const cards = () => { const held = tray(); return held ? [...held.querySelectorAll('.wb-card-scan')] : []; };
  const card = (scan) => cards().find((one) => one.dataset.scan === scan);
  const viewer = () => document.querySelector('#wb-label-view wb-viewer');

  const attributes = (node, values) => { for (const [name, value] of Object.entries(values)) { if (value === null) node.removeAttribute(name); else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value); } };
  const look = (node) => {
    const view = viewer();
    if (!view) return;
    attributes(view, node ? { scan: node.dataset.scan, slices: node.dataset.slices, name: node.dataset.name } : { scan: null, slices: null, name: null });
    attributes(view, kept && kept.scan !== (node && node.dataset.scan) ? { other: kept.scan, 'other-slices': kept.slices, 'other-name': kept.name } : { other: null, 'other-slices': null, 'other-name': null });
    const about = document.getElementById('wb-label-about');
    const told = node && node.querySelector('.wb-card-more');
    if (about) { const words = told ? told.innerHTML : ''; if (about.innerHTML !== words) about.innerHTML = words; }
  };
  const mark = (node, label) => {
    node.dataset.label = label;
    const keys = tray().dataset;
    node.querySelector('.wb-mark-label').textContent = label === 'unsure' ? 'Unsure' : label === '' ? '' : keys[`name${label}`] || '';
  };

  const choose = (node, focus = true) => {
    if (!node) { current = ''; look(null); return; }
    current = node.dataset.scan;
    for (const one of cards()) { const here = one === node; attributes(one, { 'aria-selected': String(here), tabindex: here ? '0' : '-1' }); }
    if (focus) { node.focus({ preventScroll: true }); node.scrollIntoView({ block: 'nearest' }); }
    look(node);
  };
  const here = () => card(current) || cards()[0];
  const columns = () => { const all = cards(); if (all.length < 2) return 1; const top = all[0].offsetTop; const next = all.findIndex((one) => one.offsetTop !== top); return next < 1 ? all.length : next; };
  const step = (by) => { const all = cards(); const at = all.indexOf(here()); choose(all[Math.min(Math.max(at + by, 0), all.length - 1)]); };
  const onward = (from) => {
    const all = cards();
    const at = all.indexOf(from);
    choose([...all.slice(at + 1), ...all.slice(0, at)].find((one) => !one.dataset.label) || all[at + 1] || from);
  };

  const settle = () => { clearTimeout(timer); timer = setTimeout(() => { const held = tray(); if (held && !waiting.size) window.workbench.tell(held, 'labelled'); else if (held) settle(); }, SETTLE); };
  const give = (node, label) => {
    if (!node) return;
    const { send, say, toast } = window.workbench;
    const scan = node.dataset.scan, before = node.dataset.label || '';
    const held = tray();
    waiting.set(scan, label);
    mark(node, label);
    say(`${node.dataset.name}: ${node.querySelector('.wb-mark-label').textContent || 'label taken back'}`);
    const body = label === 'unsure' ? { class_id: null, unsure: true } : { class_id: label === '' ? null : held.dataset[`class${label}`], unsure: false };
    if (label) onward(node); else look(node);
    queue = queue.then(async () => {
      try { await send(`/api/v1/scans/${scan}/label`, 'PUT', body); } catch (error) {
        const now = card(scan);
        if (now && waiting.get(scan) === label) mark(now, before);
        toast(`The label of ${node.dataset.name} was not stored: ${error.message}`, 'refused');
      } finally { if (waiting.get(scan) === label) waiting.delete(scan); settle(); }
    });
  };
  const undo = () => {
    const held = tray();
    queue = queue.then(() => { if (held.isConnected) window.workbench.tell(held, 'undo'); });
  };
  const enlarge = () => { const frame = document.querySelector('#wb-label-frame'); if (frame) { frame.classList.toggle('wb-large'); const node = here(); if (node) node.focus({ preventScroll: true }); } };
  const keep = () => {
    const node = here();
    kept = kept || !node ? null : { scan: node.dataset.scan, slices: node.dataset.slices, name: node.dataset.name };
    for (const one of document.querySelectorAll('[data-tray=keep]')) one.setAttribute('aria-pressed', String(Boolean(kept)));
    look(node);
  };

  const MOVES = { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: columns, ArrowUp: () => -columns() };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || window.workbench.typing(event) || !tray()) return;
    const key = event.key.toLowerCase();
    const held = tray();
    const onButton = event.target.closest('button, summary, a, select, input');
    if (/^[1-9]$/.test(key) && held.dataset[`class${Number(key) - 1}`]) give(here(), String(Number(key) - 1));
    else if (key === 'u') give(here(), 'unsure');
    else if (key === 'z') undo();
    else if (key === 'c') keep();
    else if (MOVES[event.key] && !onButton && event.target.tagName !== 'WB-VIEWER') step(MOVES[event.key]());
    else if (MOVES[event.key] && event.target.tagName === 'WB-VIEWER' && /Left|Right/.test(event.key)) step(MOVES[event.key]());
    else if (event.key === 'Enter' && !onButton) enlarge();
    else if (event.key === 'Escape' && document.querySelector('#wb-label-frame.wb-large')) enlarge();
    else return;
    event.preventDefault();
  });
  document.addEventListener('click', (event) => {
    if (!event.target.closest) return;
    const node = event.target.closest('.wb-tray .wb-card-scan');
    if (node) choose(node);
    const jump = event.target.closest('[data-jump]');
    if (jump) { const wanted = card(jump.dataset.jump); if (wanted) choose(wanted); else { current = jump.dataset.jump; window.workbench.tell(jump, 'jump', jump.dataset.jump); } }
    const pressed = event.target.closest('[data-tray]');
    if (!pressed || !tray()) return;
    if (pressed.dataset.tray === 'label') give(here(), pressed.dataset.value);
    if (pressed.dataset.tray === 'undo') undo();
    if (pressed.dataset.tray === 'keep') keep();
    if (pressed.dataset.tray === 'large') enlarge();
  });
  document.addEventListener('dblclick', (event) => { if (event.target.closest && event.target.closest('.wb-tray .wb-card-scan')) enlarge(); });

  // After Python has sent the tray: what is still on its way stays marked, and the place is kept.
  const again = () => {
    const held = tray();
    if (!held) return;
    for (const [scan, label] of waiting) { const node = card(scan); if (node && node.dataset.label !== label) mark(node, label); }
    if (held.dataset.undone && held.dataset.undone !== held.dataset.seen) { held.dataset.seen = held.dataset.undone; current = held.dataset.undone.split(':')[0]; }
    const focused = held.contains(document.activeElement) || document.activeElement === document.body;
    const node = card(current) || cards()[0];
    if (node && (node.getAttribute('aria-selected') !== 'true' || current !== node.dataset.scan)) choose(node, focused); else look(node);
  };
  window.workbench.whenParsed(() => {
    let due = false;
    new MutationObserver(() => { if (due || !document.querySelector('.wb-tray')) return; due = true; queueMicrotask(() => { due = false; again(); }); }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-scan', 'data-label', 'data-undone', 'aria-selected', 'tabindex'] });
  });
})();
