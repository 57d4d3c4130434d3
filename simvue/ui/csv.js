/* CSV: tables as files, for spreadsheets. */

/**
 * Write a table as CSV (RFC 4180).
 *
 * @param {string[][]} rows
 */
export function csv(rows) {
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** @param {string} text */
function cell(text) {
  // A spreadsheet runs a text that begins so as a formula, and names are a stranger's.
  const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * Hand a text, or bytes, to the reader as a file.
 *
 * @param {string} name
 * @param {BlobPart} text
 * @param {string} type
 */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has the bytes as soon as the click is handled.
  setTimeout(() => URL.revokeObjectURL(url));
}
