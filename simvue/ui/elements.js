/* Elements: making them, and keeping a list of them in step with a list of things. */

/** @typedef {Node | string | null | undefined | false} Child what an element may hold; nothing is made of the last three */

/**
 * Make an element.  *properties* are set as properties, except `class`, `aria-*`, `role` and
 * the like, which are attributes; functions named `on...` listen.  Text is never markup.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-")) /** @type {any} */ (made)[name] = value;
    else made.setAttribute(name, value);
  }
  fill(made, ...children);
  return made;
}

/**
 * Make *children* all that *parent* holds.
 *
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(.../** @type {(Node | string)[]} */ (
    children.filter((child) => child !== null && child !== undefined && child !== false)));
}

/**
 * Set an element's text, touching the page only if it differs.
 *
 * @param {Element} target
 * @param {string} text
 */
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** @type {WeakMap<Element, string>} the keys of children that `keep` made */
const KEYS = new WeakMap();

/**
 * Make the children of *parent* those of *items*, in order.  A child is known again by
 * *key(item)*, made by *make(item)* and brought up to date by *update(child, item)*, so focus,
 * selection and scrolling survive a refresh.
 *
 * @template Item
 * @template {Element} Made
 * @param {Element} parent
 * @param {Iterable<Item>} items
 * @param {(item: Item) => string | number} key
 * @param {(item: Item) => Made} make
 * @param {(child: Made, item: Item) => void} [update]
 */
export function keep(parent, items, key, make, update = () => {}) {
  const old = new Map(Array.from(parent.children, (child) => [KEYS.get(child), child]));
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = /** @type {Made | undefined} */ (old.get(name));
    old.delete(name);
    if (!child) {
      child = make(item);
      KEYS.set(child, name);
    }
    update(child, item);
    if (child === before) before = before.nextElementSibling;
    else parent.insertBefore(child, before);
  }
  for (const child of old.values()) child.remove();
}
