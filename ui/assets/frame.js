// Theme, keys that work everywhere, and what must survive when Python sends a screen anew. Nothing here holds data.
(() => {
  'use strict';
  const KEY = 'workbench-theme';
  const light = () => { try { return localStorage.getItem(KEY) === 'light'; } catch { return false; } };
  const paint = () => {
    document.documentElement.classList.toggle('wb-light', light());
    if (document.body && document.body.classList.contains('dark') === light()) document.body.classList.toggle('dark', !light());
  };
  const flip = () => { try { localStorage.setItem(KEY, light() ? 'dark' : 'light'); } catch { /* private mode */ } paint(); };
  paint();

  // What the other scripts share: asking the server, telling Python, and whether somebody is typing.
  const ask = async (path, options = {}) => {
    const answer = await fetch(path, { credentials: 'same-origin', ...options, headers: { 'X-Workbench': '1', ...(options.headers || {}) } });
    if (answer.ok) return answer;
    let said = `The server answered ${answer.status}. Try again.`;
    try { const told = await answer.json(); said = told.detail || told.title || said; } catch { /* not JSON */ }
    const error = new Error(String(said));
    error.status = answer.status;
    throw error;
  };
  const send = (path, method, body) => ask(path, { method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
  const tell = (node, action, value = '') => node.dispatchEvent(new CustomEvent('wb-action', { bubbles: true, detail: { action, value, form: node.closest('form') } }));
  const typing = (event) => Boolean(event.target.closest && event.target.closest('input:not([type=range], [type=radio], [type=checkbox], [type=button]), textarea, select, dialog'));
  const seen = (node) => Boolean(node) && node.getClientRects().length > 0;
  const say = (text) => {
    let live = document.getElementById('wb-live');
    if (!live) { live = document.createElement('div'); live.id = 'wb-live'; live.className = 'wb-hidden'; live.setAttribute('role', 'status'); document.body.append(live); }
    live.textContent = text;
  };
  const toast = (text, state = 'warning') => {
    const box = document.querySelector('#wb-said .wb-toast');
    if (!box) return;
    box.className = `wb-toast wb-shown wb-${state}`;
    box.replaceChildren(Object.assign(document.createElement('span'), { textContent: text }));
    setTimeout(() => box.classList.remove('wb-shown'), 8000);
  };
  window.workbench = { ask, send, tell, typing, seen, say, toast };

  const press = (selector) => { const node = [...document.querySelectorAll(selector)].find((one) => seen(one) && !one.disabled); if (node) node.click(); return Boolean(node); };
  const keys = () => { const box = document.getElementById('wb-keys'); if (box && !box.open) box.showModal(); };

  document.addEventListener('click', (event) => {
    if (!event.target.closest) return;
    const found = event.target.closest('[data-local]');
    if (event.target.closest('.wb-step')) window.scrollTo(0, 0);
    if (found && found.dataset.local === 'theme') flip();
    if (found && found.dataset.local === 'keys') keys();
    const menu = document.getElementById('wb-menu');
    if (menu && menu.open && !menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener('submit', async (event) => {
    const form = event.target.closest('form[data-reader]');
    if (!form) return;
    event.preventDefault();
    try {
      await send('/api/v1/me/reader', 'PUT', { reader: new FormData(form).get('reader') });
      document.getElementById('wb-menu').open = false;
      tell(document.querySelector('#wb-rail nav'), 'named');
    } catch (error) { toast(error.message); }
  });

  const SCREENS = ['worklist', 'define', 'scans', 'label', 'adapt', 'read', 'evaluate'];
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey && event.key === 'Enter') { if (press('.wb-view .wb-main')) event.preventDefault(); return; }
    if (event.key === 'Escape') { const menu = document.getElementById('wb-menu'); if (menu && menu.open) { menu.open = false; menu.querySelector('summary').focus(); } }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event)) return;
    if (event.shiftKey && /^Digit[0-6]$/.test(event.code)) { press(`.wb-step[data-value="${SCREENS[Number(event.code.slice(5))]}"]`); event.preventDefault(); return; }
    if (event.key === '?') { keys(); event.preventDefault(); }
    if (event.key === 't') { flip(); event.preventDefault(); }
  });

  // Filters a list as somebody types: data-filter on the field names the list's items.
  document.addEventListener('input', (event) => {
    const field = event.target.closest && event.target.closest('[data-filter]');
    if (field) filter(field);
    const range = event.target.closest && event.target.closest('input[type=range][data-says]');
    if (range) tellRange(range);
  });
  const filter = (field) => {
    const wanted = field.value.trim().toLowerCase();
    for (const item of document.querySelectorAll(field.dataset.filter)) item.hidden = wanted !== '' && !item.textContent.toLowerCase().includes(wanted);
  };
  // The cost of a miss in words, while its slider moves: a case is called from 1 / (1 + cost) on (Elkan, 2001).
  const tellRange = (range) => {
    const cost = 2 ** Number(range.value);
    const shown = cost >= 1 ? Math.round(cost * 10) / 10 : `1/${Math.round(1 / cost)}`;
    const says = document.getElementById(range.dataset.says);
    if (!says) return;
    says.querySelector('[data-cost]').textContent = `${shown} false alarm${shown === 1 ? '' : 's'}`;
    says.querySelector('[data-from]').textContent = `${Math.round(100 / (1 + cost))} %`;
  };

  // A screen sent anew must not shut what somebody opened, keep words typed into another form, or take the focus away.
  const open = new Set();
  let pressed = null;
  document.addEventListener('click', (event) => {
    const summary = event.target.closest && event.target.closest('summary');
    const fold = summary && summary.parentElement;
    if (!fold || !fold.id) return;
    pressed = fold;
    setTimeout(() => { if (fold.open) open.add(fold.id); else open.delete(fold.id); pressed = null; });
  }, true);
  const keep = (changes) => {
    for (const change of changes) {
      const node = change.target;
      if (change.attributeName === 'open' && !node.open && open.has(node.id) && node !== pressed && node.id !== 'wb-menu') node.open = true;
      if (change.attributeName === 'data-form') { node.reset(); focus(node); }
      if (change.attributeName === 'data-chosen') node.value = node.dataset.chosen;
      for (const added of change.addedNodes || []) if (added.nodeType === 1) focus(added);
    }
    for (const field of document.querySelectorAll('[data-filter]')) if (field.value) filter(field);
  };
  const focus = (node) => {
    const wanted = node.matches('[data-focus]') ? node : node.querySelector('[data-focus]');
    // The screen becomes visible after its parts have been put in.
    const attempt = (left) => {
      if (!wanted.isConnected || document.activeElement.matches('input, textarea')) return;
      if (seen(wanted)) wanted.focus({ preventScroll: true });
      else if (left) setTimeout(() => attempt(left - 1), 60);
    };
    if (wanted) setTimeout(() => attempt(40), 30);
  };
  // Gradio may run this before or after the document is parsed.
  const whenParsed = (start) => { if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start); else start(); };
  window.workbench.whenParsed = whenParsed;
  // What went well need not be closed; a warning stays until it is.
  let leaving = 0;
  const fade = () => {
    const shown = document.querySelector('#wb-said .wb-toast.wb-shown:is(.wb-ok, .wb-info)');
    if (!shown) return;
    clearTimeout(leaving);
    leaving = setTimeout(() => shown.classList.remove('wb-shown'), 6000);
  };
  document.addEventListener('click', (event) => { const box = event.target.closest && event.target.closest('#wb-said .wb-toast'); if (box && event.target.closest('button')) box.classList.remove('wb-shown'); });
  whenParsed(() => {
    paint();
    // Gradio sets the theme of the system once it has started; the choice made here wins.
    new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ['class'] });
    new MutationObserver(keep).observe(document.body, { subtree: true, childList: true, attributes: true, attributeOldValue: true, attributeFilter: ['open', 'data-form', 'data-chosen'] });
    new MutationObserver(fade).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['role'] });
    document.documentElement.lang = 'en';
  });
})();
