/*
 * Router: the address is the state.  A path has one view, and the query says how it is shown,
 * so that every view can be sent to a colleague and Back goes back.
 *
 * Lists of ids stand in one member, separated by commas; texts that may hold anything (filters)
 * are repeated members.
 */

/**
 * @typedef {string | string[] | null} Member one member of the query: a text, several, or none
 * @typedef {(changes: Record<string, Member>, replace?: boolean) => void} Go
 */

/**
 * Write an address: a path, and the members of a query that say something.
 *
 * @param {string} path
 * @param {Record<string, Member | undefined>} [query]
 * @returns {string}
 */
export function address(path, query = {}) {
  const members = new URLSearchParams();
  change(members, query);
  const text = String(members);
  return text ? `${path}?${text}` : path;
}

/**
 * Write the address of a run.
 *
 * @param {string} run
 * @param {Record<string, Member | undefined>} [query]
 */
export function runAddress(run, query = {}) {
  return address(`/dashboard/runs/run/${run}`, query);
}

/**
 * Read a list of ids out of a query.
 *
 * @param {URLSearchParams} query
 * @param {string} name
 * @returns {string[]} each once, in order
 */
export function ids(query, name) {
  return [...new Set((query.get(name) ?? "").split(",").filter(Boolean))];
}

/**
 * Write a list of ids as a member of a query.
 *
 * @param {Iterable<string>} list
 * @returns {string | null}
 */
export function idsMember(list) {
  return [...list].join(",") || null;
}

/**
 * @param {URLSearchParams} query
 * @param {Record<string, Member | undefined>} changes
 */
function change(query, changes) {
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const text of Array.isArray(value) ? value : [value]) {
      if (text !== null && text !== undefined && text !== "") query.append(name, text);
    }
  }
}

export class Router {
  /**
   * Tell *show(path, query)* what the address says, now and whenever it changes.
   *
   * @param {(path: string, query: URLSearchParams) => void} show
   */
  constructor(show) {
    this.show = show;
    addEventListener("popstate", () => this.read());
    document.addEventListener("click", (event) => this.follow(event));
  }

  read() {
    this.show(location.pathname, new URLSearchParams(location.search));
  }

  /**
   * Change members of the query (null takes one away); *replace* leaves no step for Back, which
   * is right for what changes with every key or every move.
   *
   * @type {Go}
   */
  go = (changes, replace = false) => {
    const query = new URLSearchParams(location.search);
    change(query, changes);
    // Commas, slashes and colons read better as they are, and are allowed to stand in a query.
    const text = String(query).replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":");
    this.visit(location.pathname + (text && `?${text}`), replace);
  };

  /**
   * Go to another address of this page.
   *
   * @param {string} href
   * @param {boolean} [replace]
   */
  visit(href, replace = false) {
    if (replace) history.replaceState(null, "", href);
    else if (href !== location.pathname + location.search) history.pushState(null, "", href);
    this.read();
  }

  /**
   * A plain click on a link of ours needs no new page.
   *
   * @param {MouseEvent} event
   */
  follow(event) {
    const target = /** @type {Element} */ (event.target);
    const link = /** @type {HTMLAnchorElement | null} */ (target.closest("a[href^='/dashboard']"));
    const plain = !event.defaultPrevented && event.button === 0
      && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || !plain || link.hasAttribute("download") || link.target) return;
    event.preventDefault();
    this.visit(link.pathname + link.search);
    scrollTo(0, 0);
  }
}
