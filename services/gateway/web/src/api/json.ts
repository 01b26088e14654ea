/**
 * A JSON value without the object members that are null. The gateway writes absent messages and times as null;
 * the types generated from the OpenAPI know them as absent.
 */
export function withoutNulls<T>(value: T): T {
  return strip(value) as T;
}

function strip(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(strip);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => (member === null ? [] : [[name, strip(member)]])),
  );
}
