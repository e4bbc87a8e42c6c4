// Theme and keyboard. Nothing here holds data: every action presses a button that is on the page.
(() => {
  const KEY = 'workbench-theme';
  const light = () => { try { return localStorage.getItem(KEY) === 'light'; } catch { return false; } };
  const paint = () => {
    document.documentElement.classList.toggle('wb-light', light());
    if (document.body && document.body.classList.contains('dark') === light()) document.body.classList.toggle('dark', !light());
  };
  const flip = () => { try { localStorage.setItem(KEY, light() ? 'dark' : 'light'); } catch { /* private mode */ } paint(); };
  paint();
  document.addEventListener('DOMContentLoaded', () => {
    paint();
    // Gradio sets the theme of the system once it has started; the choice made here wins.
    new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ['class'] });
  });

  const visible = (node) => node && node.offsetParent !== null;
  const press = (selector) => { const node = [...document.querySelectorAll(selector)].find((n) => visible(n) && !n.disabled); if (node) node.click(); return Boolean(node); };
  const keys = () => { const box = document.getElementById('wb-keys'); if (box && !box.open) box.showModal(); };

  document.addEventListener('click', (event) => {
    const found = event.target.closest && event.target.closest('[data-local]');
    if (!found) return;
    if (found.dataset.local === 'theme') flip();
    if (found.dataset.local === 'keys') keys();
  });

  const step = (by) => {
    const cases = [...document.querySelectorAll('#wb-worklist .wb-case')];
    const here = cases.findIndex((node) => node.getAttribute('aria-pressed') === 'true');
    const next = cases[here + by];
    if (next) { next.click(); next.scrollIntoView({ block: 'nearest' }); }
  };
  const slice = (by) => {
    const input = document.querySelector('#wb-slice input[type=range]');
    if (!visible(input)) return;
    input.value = String(Number(input.value) + by);
    input.dispatchEvent(new Event('input', { bubbles: true }));
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey && event.key === 'Enter') { press('button.wb-main, .wb-main button'); event.preventDefault(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input:not([type=range], [type=radio]), textarea, select, dialog')) return;
    if (event.shiftKey && /^Digit[1-4]$/.test(event.code)) { press(`.wb-step[data-value="${Number(event.code.slice(5)) - 1}"]`); event.preventDefault(); return; }
    if (event.key === '?') { keys(); event.preventDefault(); }
    if (event.key === 't') { flip(); event.preventDefault(); }
    if (!visible(document.querySelector('#wb-view-read'))) return;
    const at = event.target.closest('#wb-worklist, #wb-viewer, #wb-reading') || event.target === document.body;
    if (!at) return;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') { step(event.key === 'ArrowDown' ? 1 : -1); event.preventDefault(); }
    if (event.key === '[') slice(-1);
    if (event.key === ']') slice(1);
    if (/^[1-4]$/.test(event.key)) { const near = document.querySelectorAll('#wb-reading .wb-near')[Number(event.key) - 1]; if (near) near.click(); }
    if (event.key === '0') press('#wb-reading .wb-near[aria-pressed="true"]');
  });
})();
