// What both explorers share: when they begin, and the reverse of payload.py.
window.plateaus = {
  // Begin when the reader comes near, so that unpacking does not hold up the first screen.
  whenNear(root, begin) {
    root.hidden = false;
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((one) => one.isIntersecting)) return;
      watch.disconnect();
      begin();
    }, { rootMargin: "600px" });
    watch.observe(root);
  },

  async inflate(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  },

  // Split what follows the lengths of its parts, each in four bytes.
  split(bytes, count) {
    const lengths = new Uint32Array(bytes.slice(0, 4 * count).buffer);
    let at = 4 * count;
    return [...lengths].map((length) => bytes.subarray(at, (at += length)));
  },

  // Rows of numbers from second differences: low bytes before high bytes, the sign in the lowest bit.
  unpack(bytes, columns, unit) {
    const half = bytes.length / 2;
    const values = new Float32Array(half);
    for (let begin = 0; begin < half; begin += columns) {
      let slope = 0, value = 0;
      for (let i = begin; i < begin + columns; i++) {
        const folded = bytes[i] | (bytes[half + i] << 8);
        slope += folded & 1 ? -(folded + 1) / 2 : folded / 2;
        value += slope;
        values[i] = value * unit;
      }
    }
    return values;
  },
};
