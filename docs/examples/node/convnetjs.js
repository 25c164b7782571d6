// convnetjs's softmax and regression layers over the protocol of docs/protocol.md, for Node.js 18 or newer.
//
//     npm install convnetjs
//     lossconf run "process:node convnetjs.js"
//
// Its layers take one example; this file takes each position of a batch through them and averages, as its trainer does.

"use strict";

const readline = require("readline");
const convnetjs = require("convnetjs");
const { version } = require("convnetjs/package.json");

// A loss takes the layer's message and its bottoms, and gives its tops and the first bottom's gradient for a diff of 1.
const losses = {
  SoftmaxWithLoss(layer, [scores, labels]) {
    const given = layer.softmax_param?.axis ?? 1;
    const axis = given < 0 ? given + scores.shape.length : given;
    const classes = scores.shape[axis];
    const inner = product(scores.shape.slice(axis + 1));
    const positions = scores.data.length / classes;
    const net = new convnetjs.SoftmaxLayer({ in_sx: 1, in_sy: 1, in_depth: classes });
    const probability = new Array(scores.data.length);
    const diff = new Array(scores.data.length);
    let total = 0;
    for (let position = 0; position < positions; position += 1) {
      const start = Math.floor(position / inner) * classes * inner + (position % inner);
      const places = Array.from({ length: classes }, (_, c) => start + c * inner);
      const x = new convnetjs.Vol(places.map((place) => scores.data[place]));
      const p = net.forward(x);
      total += net.backward(Math.trunc(labels.data[position]));
      places.forEach((place, c) => ((probability[place] = p.w[c]), (diff[place] = x.dw[c] / positions)));
    }
    return { tops: [[[], [total / positions]], [scores.shape, probability]], diffs: [diff, null] };
  },

  EuclideanLoss(layer, [a, b]) {
    const num = a.shape[0];
    const net = new convnetjs.RegressionLayer({ in_sx: 1, in_sy: 1, in_depth: a.data.length });
    const x = new convnetjs.Vol(a.data);
    net.forward(x);
    const total = net.backward(b.data);
    const diff = Array.from(x.dw, (each) => each / num);
    return { tops: [[[], [total / num]]], diffs: [diff, diff.map((each) => -each)] };
  },
};

const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

function readArray({ dtype, shape, base64 }) {
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

// The layers keep nothing from one pass to the next: the last pass is all they need, and the bottoms last given.
function run({ dtype, layer, passes }) {
  const { bottoms } = passes.findLast((pass) => pass.bottoms);
  const { top_diffs: topDiffs, propagate_down: propagateDown } = passes.at(-1);
  const inputs = bottoms.map(readArray);
  const { tops, diffs } = losses[layer.type](layer, inputs);
  const asked = tops.slice(0, layer.top?.length ?? 1);
  const computed = { tops: asked.map(([shape, data]) => writeArray(dtype, shape, data)) };
  if (!topDiffs) return { computed };
  const [weight, ...others] = topDiffs.map((each) => readArray(each).data);
  if (others.some((each) => each.some((x) => x !== 0))) return { unsupported: "a gradient into the softmax" };
  const weighted = (i) => writeArray(dtype, inputs[i].shape, diffs[i].map((x) => x * weight[0]));
  computed.bottom_diffs = propagateDown.map((wanted, i) => (wanted ? weighted(i) : null));
  return { computed };
}

const description = {
  protocol: 2,
  name: "convnetjs",
  version,
  language: "JavaScript",
  capability: "layer",
  layers: Object.keys(losses),
  dtypes: ["float32", "float64"],
  environment: { node: process.version },
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const request = JSON.parse(line);
  if (request.verb === "stop") process.exit(0);
  let body = { unsupported: `${request.verb} is not implemented` };
  try {
    if (request.verb === "describe") body = { description };
    if (request.verb === "run") body = run(request);
  } catch (error) {
    body = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify({ id: request.id, ...body })}\n`);
});
