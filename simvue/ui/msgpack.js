/*
 * Msgpack, as much of it as the server's answers need: no extension types.
 *
 * A `bin` comes out as a Uint8Array that looks into the answer's own bytes, so a column of
 * a million numbers is not copied here.  A 64-bit integer comes out as a Number; past 2^53
 * it is rounded, as everything is that a pixel shows.
 */

const TEXT = new TextDecoder();

/**
 * Decode one value that fills *buffer*; throw RangeError if it does not.
 *
 * @param {ArrayBuffer} buffer
 * @returns {any}
 */
export function decode(buffer) {
  const reader = new Reader(buffer);
  const value = reader.value();
  if (reader.at !== buffer.byteLength) {
    throw new RangeError(`msgpack: ${buffer.byteLength - reader.at} bytes after the value`);
  }
  return value;
}

class Reader {
  /** @param {ArrayBuffer} buffer */
  constructor(buffer) {
    this.view = new DataView(buffer);
    this.at = 0;
  }

  /**
   * Step over *size* bytes and return where they begin.
   *
   * @param {number} size
   */
  take(size) {
    const start = this.at;
    this.at += size;
    return start;
  }

  /** @param {number} size */
  bytes(size) {
    return new Uint8Array(this.view.buffer, this.take(size), size);
  }

  /** @param {number} size */
  text(size) {
    return TEXT.decode(this.bytes(size));
  }

  /**
   * @param {number} size
   * @returns {any[]}
   */
  array(size) {
    return Array.from({ length: size }, () => this.value());
  }

  /** @param {number} size */
  map(size) {
    const map = {};
    for (let i = 0; i < size; i++) {
      const key = this.value();
      // defineProperty, because a metric may be called "__proto__".
      Object.defineProperty(map, key, { value: this.value(), enumerable: true });
    }
    return map;
  }

  /** @returns {any} */
  value() {
    const view = this.view;
    const head = view.getUint8(this.take(1));
    if (head < 0x80) return head;
    if (head < 0x90) return this.map(head & 0x0f);
    if (head < 0xa0) return this.array(head & 0x0f);
    if (head < 0xc0) return this.text(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.bytes(view.getUint8(this.take(1)));
      case 0xc5: return this.bytes(view.getUint16(this.take(2)));
      case 0xc6: return this.bytes(view.getUint32(this.take(4)));
      case 0xca: return view.getFloat32(this.take(4));
      case 0xcb: return view.getFloat64(this.take(8));
      case 0xcc: return view.getUint8(this.take(1));
      case 0xcd: return view.getUint16(this.take(2));
      case 0xce: return view.getUint32(this.take(4));
      case 0xcf: return Number(view.getBigUint64(this.take(8)));
      case 0xd0: return view.getInt8(this.take(1));
      case 0xd1: return view.getInt16(this.take(2));
      case 0xd2: return view.getInt32(this.take(4));
      case 0xd3: return Number(view.getBigInt64(this.take(8)));
      case 0xd9: return this.text(view.getUint8(this.take(1)));
      case 0xda: return this.text(view.getUint16(this.take(2)));
      case 0xdb: return this.text(view.getUint32(this.take(4)));
      case 0xdc: return this.array(view.getUint16(this.take(2)));
      case 0xdd: return this.array(view.getUint32(this.take(4)));
      case 0xde: return this.map(view.getUint16(this.take(2)));
      case 0xdf: return this.map(view.getUint32(this.take(4)));
      default: throw new RangeError(`msgpack: no value begins with 0x${head.toString(16)}`);
    }
  }
}
