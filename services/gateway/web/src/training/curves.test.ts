import { expect, it } from "vitest";

import { curves } from "./curves";

it("draws a chart for each measure, loss first, with a line for each channel", () => {
  const charts = curves([
    { name: "train:learning_rate", epoch: 1, value: 0.1 },
    { name: "progress:epoch", epoch: 1, value: 1 },
    { name: "train:accuracy", epoch: 1, value: 0.5 },
    { name: "validation:accuracy", epoch: 1, value: 0.4 },
    { name: "train:loss", epoch: 1, value: 2 },
    { name: "train:loss", epoch: 2, value: 1 },
    { name: "elapsed", epoch: 2, value: 9 },
  ]);
  expect(charts).toEqual([
    { title: "loss", main: true, series: [{ name: "train", points: [{ x: 1, y: 2 }, { x: 2, y: 1 }] }] },
    {
      title: "accuracy",
      main: true,
      series: [
        { name: "train", points: [{ x: 1, y: 0.5 }] },
        { name: "validation", points: [{ x: 1, y: 0.4 }] },
      ],
    },
    { title: "learning_rate", main: false, series: [{ name: "train", points: [{ x: 1, y: 0.1 }] }] },
  ]);
});

it("takes the last word on an epoch that a resumed job printed again", () => {
  const [chart] = curves([
    { name: "train:loss", epoch: 2, value: 5 },
    { name: "train:loss", epoch: 1, value: 7 },
    { name: "train:loss", epoch: 2, value: 4 },
  ]);
  expect(chart?.series[0]?.points).toEqual([{ x: 1, y: 7 }, { x: 2, y: 4 }]);
});
