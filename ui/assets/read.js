// Keys of the read screen: a key presses what carries it (data-key), arrows go through the cases. Nothing here holds data.
(() => {
  'use strict';
  const screen = () => document.getElementById('wb-view-read');
  const shown = () => { const node = screen(); return Boolean(node) && window.workbench.seen(node); };

  const step = (by) => {
    const rows = [...screen().querySelectorAll('.wb-caserow')];
    if (!rows.length) return;
    const here = rows.findIndex((row) => row.hasAttribute('aria-current'));
    const next = rows[Math.min(Math.max(here + by, 0), rows.length - 1)];
    if (next === rows[here]) return;
    next.scrollIntoView({ block: 'nearest' });
    next.click();
  };

  document.addEventListener('keydown', (event) => {
    if (!shown() || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || window.workbench.typing(event)) return;
    if (document.querySelector('dialog[open]')) return;
    const folded = event.target.closest && event.target.closest('summary, input, select');
    if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && !folded) { step(event.key === 'ArrowDown' ? 1 : -1); event.preventDefault(); return; }
    if (event.key.length !== 1 || !/[a-z0-9]/i.test(event.key)) return;
    const found = [...screen().querySelectorAll(`[data-key="${event.key.toLowerCase()}"]`)].find((node) => window.workbench.seen(node) && !node.disabled);
    if (found) { found.click(); event.preventDefault(); }
  });
})();
