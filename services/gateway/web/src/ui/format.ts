/** `12.3 MB`: decimal units, as disks and networks are sold. */
export function bytes(count: number | string | undefined): string {
  let value = Number(count ?? 0);
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** `1 min 5 s`, `2 h 3 min`, `0.4 s`. */
export function duration(seconds: number): string {
  if (seconds < 10) {
    return `${Math.round(seconds * 10) / 10} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `6,000`. */
export function count(value: number | undefined): string {
  return (value ?? 0).toLocaleString("en");
}

/** A value of a metric: four significant digits. */
export function metric(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
}

/** Date and time in the user's own zone and form. */
export function time(value: string | undefined): string {
  return value === undefined || value === "" ? "" : new Date(value).toLocaleString();
}

/**
 * A file name or label as it is, but with control characters shown as pictures: they, and marks that turn the
 * direction of writing, could make one name look like another.
 */
export function printable(text: string | undefined): string {
  return (text ?? "").replace(
    // eslint-disable-next-line no-control-regex -- control characters are what is looked for
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => {
      const code = character.charCodeAt(0);
      return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "\u2421" : "\ufffd";
    },
  );
}

/** `12.30 USD`; two significant digits of what is less than a cent. */
export function money(amount: number | undefined, currency: string | undefined): string {
  const value = amount ?? 0;
  const text = value !== 0 && Math.abs(value) < 0.01 ? String(Number(value.toPrecision(2))) : value.toFixed(2);
  return `${text} ${currency ?? ""}`.trim();
}

/** `12 %`; a share is from 0 to 1. */
export function percent(share: number | undefined): string {
  const value = (share ?? 0) * 100;
  return `${value !== 0 && Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value)} %`;
}
