// Say numbers as people do.

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

export function size(bytes) {
  const rounded = Number(bytes.toPrecision(3));
  const power = rounded < 1 ? 0 : Math.min(Math.floor(Math.log10(rounded) / 3 + 1e-9), UNITS.length - 1);
  return `${Number((rounded / 1000 ** power).toPrecision(3))} ${UNITS[power]}`;
}

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

export const percent = (part, whole) => `${Math.round((100 * part) / whole)}%`;

export const seconds = (value) => (value < 1 ? `${Math.round(value * 1000)} ms` : `${Number(value.toPrecision(3))} s`);

/** Say which layers: `0–2, 4, 6–9`, cut after a few runs. */
export function ranges(indices, most = 3) {
  const runs = [];
  for (const index of indices) {
    const last = runs.at(-1);
    if (last && index === last[1] + 1) last[1] = index;
    else runs.push([index, index]);
  }
  const texts = runs.slice(0, most).map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`));
  return texts.join(", ") + (runs.length > most ? ", …" : "");
}
