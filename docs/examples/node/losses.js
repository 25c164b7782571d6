// EuclideanLoss and MultinomialLogisticLoss over the protocol of docs/protocol.md, for Node.js 18 or newer.
//
//     lossconf run "process:node losses.js"

"use strict";

const readline = require("readline");

const LOG_FLOOR = Math.fround(1e-20); // Caffe holds it in a float

class Refused extends Error {}

// A loss takes the layer's message and its bottoms; it returns its value and the bottoms' gradients for a top diff of 1.
const losses = {
  EuclideanLoss(layer, [a, b]) {
    if (a.shape[0] !== b.shape[0] || a.data.length !== b.data.length) {
      throw new Refused("Inputs must have the same dimension.");
    }
    const num = a.shape[0];
    const difference = a.data.map((value, i) => value - b.data[i]);
    return {
      value: sum(difference.map((d) => d * d)) / (2 * num),
      diffs: [difference.map((d) => d / num), difference.map((d) => -d / num)],
    };
  },

  MultinomialLogisticLoss(layer, [probabilities, labels]) {
    const num = probabilities.shape[0];
    const dim = probabilities.data.length / num;
    const diff = probabilities.data.map(() => 0);
    const terms = Array.from({ length: num }, (_, n) => {
      const label = Math.trunc(labels.data[n]);
      if (!(label >= 0 && label < dim)) throw new Refused(`label ${label} is not one of ${dim} classes`);
      const p = probabilities.data[n * dim + label];
      const kept = Math.max(p, LOG_FLOOR);
      diff[n * dim + label] = -1 / (num * kept);
      return -Math.log(kept);
    });
    return { value: sum(terms) / num, diffs: [diff, labels.data.map(() => 0)] };
  },
};

const sum = (terms) => terms.reduce((total, term) => total + term, 0);

function readArray({ dtype, shape, base64, data }) {
  if (base64 === undefined) return { shape, data: data.map(Number) };
  const bytes = Buffer.from(base64, "base64");
  const read = dtype === "float64" ? (i) => bytes.readDoubleLE(8 * i) : (i) => bytes.readFloatLE(4 * i);
  return { shape, data: Array.from({ length: bytes.length / (dtype === "float64" ? 8 : 4) }, (_, i) => read(i)) };
}

function writeArray(dtype, shape, data) {
  const size = dtype === "float64" ? 8 : 4;
  const bytes = Buffer.alloc(size * data.length);
  data.forEach((x, i) => (size === 8 ? bytes.writeDoubleLE(x, 8 * i) : bytes.writeFloatLE(x, 4 * i)));
  return { dtype, shape, base64: bytes.toString("base64") };
}

// A request's passes all go through one layer, which may keep what it likes; the last one's numbers are the answer.
// These losses keep nothing, so that the last pass is all they need, and the bottoms that it was last given.
function run({ dtype, layer, passes }) {
  const { bottoms } = passes.findLast((pass) => pass.bottoms);
  const { top_diffs: topDiffs, propagate_down: propagateDown } = passes.at(-1);
  const inputs = bottoms.map(readArray);
  const { value, diffs } = losses[layer.type](layer, inputs);
  const computed = { tops: [writeArray(dtype, [], [value])] };
  if (topDiffs) {
    const weight = readArray(topDiffs[0]).data[0];
    const weighted = (i) => writeArray(dtype, inputs[i].shape, diffs[i].map((d) => d * weight));
    computed.bottom_diffs = propagateDown.map((wanted, i) => (wanted ? weighted(i) : null));
  }
  return { computed };
}

const description = {
  protocol: 2,
  name: "losses.js",
  version: "1",
  language: "JavaScript",
  capability: "layer",
  layers: Object.keys(losses),
  dtypes: ["float32", "float64"],
  dialect: "documented",
  environment: { node: process.version },
};

function answer(request) {
  if (request.verb === "describe") return { description };
  if (request.verb !== "run") return { unsupported: `${request.verb} is not implemented` };
  try {
    return run(request);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { refusal: { stage: "forward", message: error.message } };
  }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  let id = null;
  let body;
  try {
    const request = JSON.parse(line);
    if (request.verb === "stop") process.exit(0);
    id = request.id;
    body = answer(request);
  } catch (error) {
    body = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify({ id, ...body })}\n`);
});
