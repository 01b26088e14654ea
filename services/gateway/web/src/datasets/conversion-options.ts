import type { ConversionOptions } from "../api/types";

/** How a file is to be converted, as the form has it. A number field that is being typed in holds text. */
export interface Options {
  /** A format's id; empty means found by looking. */
  format: string;
  labelColumn: string;
  /** Percent. */
  train: number | string;
  validation: number | string;
  test: number | string;
  seed: number | string;
  stratify: boolean;
  full: boolean;
  /** Percent. */
  maxBad: number | string;
  gzip: boolean;
  tar: boolean;
}

/** What the server does when nothing is said. */
export const defaults: Options = {
  format: "",
  labelColumn: "",
  train: 80,
  validation: 10,
  test: 10,
  seed: 0,
  stratify: false,
  full: false,
  maxBad: 1,
  gzip: false,
  tar: false,
};

const formatsWithColumns = new Set(["", "csv", "jsonl", "parquet", "image-table", "webdataset", "tfrecord"]);

/** Whether a label column can be named: of formats that have columns, or may turn out to. */
export function hasColumns(format: string): boolean {
  return formatsWithColumns.has(format);
}

/** What is wrong, in words, by field; `shares` is of the three together. */
export type Problems = Partial<Record<"shares" | "seed" | "maxBad" | "labelColumn", string>>;

/** What of the options the server would refuse. */
export function problemsWith(options: Options): Problems {
  const problems: Problems = {};
  const shares = [options.train, options.validation, options.test].map(numberOf);
  const sum = shares.reduce((all, share) => all + share, 0);
  if (shares.some((share) => !(share >= 0))) {
    problems.shares = "Each share is a number from 0 to 100.";
  } else if (Math.abs(sum - 100) > 1e-6) {
    problems.shares = `The three shares must sum to 100 %; they sum to ${Number(sum.toPrecision(6))} %.`;
  } else if (shares[0] === 0) {
    problems.shares = "Some examples are needed to train on.";
  }
  if (!Number.isSafeInteger(numberOf(options.seed))) {
    problems.seed = "Enter a whole number";
  }
  const maxBad = numberOf(options.maxBad);
  if (!(maxBad >= 0 && maxBad <= 100)) {
    problems.maxBad = "Enter a number from 0 to 100";
  }
  if (hasColumns(options.format) && new TextEncoder().encode(options.labelColumn.trim()).length > 256) {
    problems.labelColumn = "Enter at most 256 bytes";
  }
  return problems;
}

/** Of an empty field it is NaN. */
function numberOf(value: number | string): number {
  return value === "" ? NaN : Number(value);
}

/** The options as the API takes them. */
export function conversionOf(options: Options): ConversionOptions {
  const chosen = (["train", "validation", "test"] as const).some((split) => Number(options[split]) !== defaults[split]);
  return {
    format: options.format,
    // Said only where they were chosen: whoever has chosen them is warned when the upload has splits of its own.
    ...(chosen && {
      splitFractions: {
        train: Number(options.train) / 100,
        validation: Number(options.validation) / 100,
        test: Number(options.test) / 100,
      },
    }),
    seed: String(options.seed),
    validation: options.full ? "FULL" : "STRUCTURAL",
    maxBadFraction: Number(options.maxBad) / 100,
    labelColumn: hasColumns(options.format) ? options.labelColumn.trim() : "",
    stratify: options.stratify,
    compression: options.gzip ? "GZIP" : "NONE",
    package: options.tar ? "TAR" : "PACKAGE_UNSPECIFIED",
  };
}
