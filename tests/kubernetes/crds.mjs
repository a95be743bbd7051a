// Holds objects against the published schemas of their operators: node crds.mjs FOLDER <objects.json >problems.json
// A validator passes over a field that its schema does not have, so what it has never looked at is such a field.

import { readFileSync } from "node:fs";

const SCHEMAS = {
  "keda.sh/v1alpha1": ["keda", "ComGithubKedacoreKedaV2ApisKedaV1alpha1"],
  "monitoring.coreos.com/v1": ["prometheus-operator", "ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1"],
  "external-secrets.io/v1": ["external-secrets", "ComGithubExternalSecretsExternalSecretsApisExternalsecretsV1"],
};
const folder = process.argv[2];

async function validator({ apiVersion, kind }) {
  const [name, prefix] = SCHEMAS[apiVersion] ?? [];
  try {
    return (await import(`${folder}/node_modules/@kubernetes-models/${name}/_schemas/${prefix}${kind}.js`)).validate;
  } catch {
    return null;
  }
}

// The same value, which notes in `seen` what of it was read.
function watched(value, path, seen) {
  if (value === null || typeof value !== "object") return value;
  const inner = new Map();
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === "symbol" || !Object.hasOwn(target, key)) return target[key];
      seen.add(`${path}/${key}`);
      if (!inner.has(key)) inner.set(key, watched(target[key], `${path}/${key}`, seen));
      return inner.get(key);
    },
  });
}

function* unread(value, path, seen) {
  if (value === null || typeof value !== "object") return;
  for (const [key, item] of Object.entries(value)) {
    const at = `${path}/${key}`;
    if (!seen.has(at)) yield `${at} is not a field`;
    else yield* unread(item, at, seen);
  }
}

async function problems(object) {
  const validate = await validator(object);
  const title = `${object.kind} ${object.metadata?.name}`;
  if (!validate) return [`${title}: there is no ${object.kind} of ${object.apiVersion}`];
  const seen = new Set();
  const well = validate(watched(object, "", seen));
  const wrong = well ? [] : validate.errors.map((e) => `${e.instancePath} ${e.keyword}: ${JSON.stringify(e.params)}`);
  return [...wrong, ...unread(object, "", seen)].map((text) => `${title}: ${text}`);
}

const objects = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify((await Promise.all(objects.map(problems))).flat()));
