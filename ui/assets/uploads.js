// Files, folders and zips that are dropped on, or chosen beside, a [data-upload] zone go to the server in batches; then
// Python hears of it (action "uploaded", value: the import). README.md says what a zone holds.
(() => {
  'use strict';
  const MOST_FILES = 40;
  const MOST_BYTES = 64 * 1024 * 1024;
  const IGNORED = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*)$/i;

  // A dropped folder is walked; each file keeps its path below what was dropped, since folders may name classes.
  const walk = async (entry, before, found) => {
    if (entry.isFile) {
      const file = await new Promise((yes, no) => entry.file(yes, no));
      found.push([file, before + entry.name]);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((yes, no) => reader.readEntries(yes, no));
      if (!some.length) return;
      for (const one of some) await walk(one, `${before}${entry.name}/`, found);
    }
  };
  const dropped = async (transfer) => {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
    const found = [];
    if (!entries.length) return [...transfer.files].map((file) => [file, file.name]);
    for (const entry of entries) await walk(entry, '', found);
    return found;
  };

  const post = (path, form, moved) => new Promise((yes, no) => {
    const request = new XMLHttpRequest();
    request.open('POST', path);
    request.setRequestHeader('X-Workbench', '1');
    request.upload.onprogress = (event) => moved(event.loaded);
    request.onerror = () => no(new Error('The connection broke.'));
    request.onload = () => {
      if (request.status < 300) { try { yes(JSON.parse(request.responseText)); } catch { yes({}); } return; }
      let said = `The server answered ${request.status}.`;
      try { said = JSON.parse(request.responseText).title || said; } catch { /* not JSON */ }
      no(Object.assign(new Error(said), { final: request.status < 500 }));
    };
    request.send(form);
  });
  // What broke on the way is sent again; the server keeps a file once.
  const patient = async (path, form, moved) => {
    for (let attempt = 1; ; attempt += 1) {
      try { return await post(path, form, moved); } catch (error) {
        if (error.final || attempt === 3) throw error;
        await new Promise((go) => setTimeout(go, 600 * attempt));
      }
    }
  };

  const batches = (files) => {
    const made = [[]];
    let bytes = 0;
    for (const one of files) {
      if (made.at(-1).length && (made.at(-1).length >= MOST_FILES || bytes + one[0].size > MOST_BYTES)) { made.push([]); bytes = 0; }
      made.at(-1).push(one); bytes += one[0].size;
    }
    return made;
  };

  // Its progress lives outside what Python sends, so that a screen sent anew does not end it.
  let bar = null;
  const show = (text, share) => {
    if (!bar) {
      bar = document.createElement('div');
      bar.className = 'wb-uploading'; bar.setAttribute('role', 'status');
      bar.innerHTML = '<span></span><progress max="1" aria-label="Upload"></progress>';
      document.body.append(bar);
    }
    bar.hidden = text === '';
    bar.firstChild.textContent = text;
    bar.lastChild.value = share;
  };

  let busy = false;
  const upload = async (zone, files) => {
    const { toast, send, tell } = window.workbench;
    const wanted = files.filter(([, name]) => !IGNORED.test(name));
    if (!wanted.length) { toast('There are no files in what was dropped.'); return; }
    if (busy) { toast('Files are being sent already. Wait until they are there.'); return; }
    busy = true;
    zone.classList.add('wb-busy');
    const total = wanted.reduce((sum, [file]) => sum + file.size, 0) || 1;
    const noun = `${wanted.length} file${wanted.length === 1 ? '' : 's'}`;
    try {
      show(`Sending ${noun}`, 0);
      const { job } = await (await send(`/api/v1/conditions/${zone.dataset.condition}/imports`, 'POST', { role: zone.dataset.upload })).json();
      let sent = 0;
      const refused = [];
      for (const batch of batches(wanted)) {
        const form = new FormData();
        let bytes = 0;
        for (const [file, name] of batch) { form.append('file', file, name); bytes += file.size; }
        const taken = await patient(`/api/v1/imports/${job}/files`, form, (moved) => show(`Sending ${noun}`, (sent + Math.min(moved, bytes)) / total));
        refused.push(...(taken.refused || []));
        sent += bytes;
      }
      show('', 0);
      if (refused.length) toast(`${refused.length} of ${noun} could not be taken. ${refused[0].name}: ${refused[0].reason} ${refused[0].fix}`);
      tell(zone.isConnected ? zone : document.querySelector('[data-upload]'), 'uploaded', job);
    } catch (error) {
      show('', 0);
      toast(`${error.message} Nothing of this drop was stored.`, 'refused');
    } finally { busy = false; zone.classList.remove('wb-busy'); }
  };

  const zoneOf = (event) => event.target.closest && event.target.closest('[data-upload]');
  let inside = 0;
  document.addEventListener('dragenter', () => { inside += 1; document.body.classList.add('wb-dragging'); });
  document.addEventListener('dragleave', () => { inside -= 1; if (inside <= 0) { inside = 0; document.body.classList.remove('wb-dragging'); } });
  document.addEventListener('dragover', (event) => { event.preventDefault(); const zone = zoneOf(event); for (const one of document.querySelectorAll('[data-upload]')) one.classList.toggle('wb-over', one === zone); });
  document.addEventListener('drop', async (event) => {
    event.preventDefault();
    inside = 0; document.body.classList.remove('wb-dragging');
    for (const one of document.querySelectorAll('[data-upload]')) one.classList.remove('wb-over');
    // Beside the zone counts too, where there is one only: nobody should have to aim.
    const zones = [...document.querySelectorAll('[data-upload]')].filter(window.workbench.seen);
    const zone = zoneOf(event) || (zones.length === 1 ? zones[0] : null);
    if (zone) upload(zone, await dropped(event.dataTransfer));
  });
  document.addEventListener('click', (event) => {
    const found = event.target.closest && event.target.closest('[data-choose]');
    if (!found) return;
    const zone = found.closest('[data-upload]');
    zone.querySelector(`input[type=file].wb-choose-${found.dataset.choose}`).click();
  });
  document.addEventListener('change', (event) => {
    const input = event.target;
    if (!input.matches || !input.matches('[data-upload] input[type=file]')) return;
    const files = [...input.files].map((file) => [file, file.webkitRelativePath || file.name]);
    input.value = '';
    upload(input.closest('[data-upload]'), files);
  });
})();
