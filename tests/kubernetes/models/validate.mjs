// validate.mjs NODE_MODULES: validates a JSON array of manifests on stdin; an array with the errors of each goes to stdout.
//
// Those check types, enumerations and what is required, and pass over fields that they do not know. They read each field
// that they know, so one that nobody read is unknown to them.
import { readFileSync } from "node:fs";

const PACKAGES = [
  ["keda.sh", "@kubernetes-models/keda"],
  ["monitoring.coreos.com", "@kubernetes-models/prometheus-operator"],
  ["argoproj.io", "@kubernetes-models/argo-cd"],
  ["toolkit.fluxcd.io", "@kubernetes-models/flux-cd"],
];

async function modelOf(manifest) {
  const { apiVersion, kind } = manifest;
  const group = apiVersion.split("/")[0];
  const found = PACKAGES.find(([end]) => group === end || group.endsWith(`.${end}`));
  const folder = `${process.argv[2]}/${found ? found[1] : "kubernetes-models"}`;
  const models = await import(`${folder}/${apiVersion}/index.js`);
  if (!models[kind]) throw new Error(`there is no ${kind} in ${apiVersion}`);
  return models[kind];
}

function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const children = new Map();
  for (const key of Object.keys(value)) {
    const place = `${path}/${key}`;
    unread.add(place);
    children.set(key, [place, watched(value[key], place, unread)]);
  }
  return new Proxy(value, {
    get(target, key, receiver) {
      if (!children.has(key)) return Reflect.get(target, key, receiver);
      const [place, child] = children.get(key);
      unread.delete(place);
      return child;
    },
  });
}

async function errorsOf(manifest) {
  const unread = new Set();
  try {
    const model = await modelOf(manifest);
    model.prototype.validate.call(watched(manifest, "", unread));
  } catch (error) {
    return [String(error.message)];
  }
  return [...unread].map((place) => `${place} is unknown`);
}

const found = [];
for (const manifest of JSON.parse(readFileSync(0, "utf8"))) found.push(await errorsOf(manifest));
process.stdout.write(JSON.stringify(found));
