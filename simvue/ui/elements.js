/* Elements: making them, and keeping a list of them in step with a list of things. */

/**
 * Make an element.  *properties* are set as properties, except `class`, `aria-*`, `role` and
 * the like, which are attributes; functions named `on...` listen.  Text is never markup.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Set an element's text, touching the page only if it differs. */
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Make the children of *parent* those of *items*, in order.  A child is known again by
 * *key(item)*, made by *make(item)* and brought up to date by *update(child, item)*, so focus,
 * selection and scrolling survive a refresh.
 */
export function keep(parent, items, key, make, update = () => {}) {
  const old = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = old.get(name);
    old.delete(name);
    if (!child) {
      child = make(item);
      child.dataset.key = name;
    }
    update(child, item);
    if (child === before) before = before.nextElementSibling;
    else parent.insertBefore(child, before);
  }
  for (const child of old.values()) child.remove();
}
