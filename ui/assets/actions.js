// Runs once for every HTML component that is pressed (`ui.views.base.html`): `element` is the component, `trigger`
// Gradio's way to Python. These reach Python, with the fields of the form around them: a click on anything with
// data-action (asked about first where there is data-confirm); a change of a field with data-change; the sending of a
// form with data-submit; and `wb-action` events of the other scripts.
const fieldsOf = (form) => {
  const fields = {};
  if (form) for (const [name, value] of new FormData(form)) (fields[name] = fields[name] || []).push(String(value));
  return fields;
};
const send = (action, value, form) => trigger('click', { action, value: value || '', fields: fieldsOf(form) });
element.addEventListener('click', (event) => {
  const found = event.target.closest('[data-action]');
  if (!found || !element.contains(found) || found.disabled || found.ariaDisabled === 'true') return;
  if (found.dataset.confirm && !window.confirm(found.dataset.confirm)) return;
  send(found.dataset.action, found.dataset.value, found.closest('form'));
});
element.addEventListener('change', (event) => {
  const found = event.target.closest('[data-change]');
  if (found) send(found.dataset.change, found.value, found.closest('form'));
});
element.addEventListener('submit', (event) => {
  const form = event.target.closest('form[data-submit]');
  if (!form) return;
  event.preventDefault();
  send(form.dataset.submit, form.dataset.value, form);
});
element.addEventListener('wb-action', (event) => send(event.detail.action, event.detail.value, event.detail.form));
