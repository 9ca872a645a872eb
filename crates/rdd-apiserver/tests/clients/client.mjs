// The official JavaScript client against a server: node client.mjs KUBECONFIG BOBS-KUBECONFIG CLIENT-MODULE.

import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';

const [kubeconfig, bobs, module] = process.argv.slice(2);
const k8s = await import(pathToFileURL(module));

const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const custom = config.makeApiClient(k8s.CustomObjectsApi);
const extensions = config.makeApiClient(k8s.ApiextensionsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);

const namespace = 'javascript';
const kind = { group: 'javascript.example.com', version: 'v1', plural: 'boats', namespace };

/** Awaits what must be refused, and returns the Status. */
async function refused(code, reason, call) {
  try {
    await call;
  } catch (error) {
    const status = typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
    assert.equal(error.code, code, JSON.stringify(status));
    assert.equal(status.reason, reason);
    return status;
  }
  assert.fail(`not refused with ${code}`);
}

const map = (name, data) => ({ metadata: { name }, data });

async function coreKinds() {
  await core.createNamespace({ body: { metadata: { name: namespace } } });
  const made = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'a', labels: { x: 'y' } }, data: { k: '1' } } });
  assert.ok(made.metadata.uid && made.metadata.creationTimestamp instanceof Date);
  await refused(409, 'AlreadyExists', core.createNamespacedConfigMap({ namespace, body: map('a') }));
  const patched = await core.patchNamespacedConfigMap({ name: 'a', namespace, body: [{ op: 'add', path: '/data/l', value: '2' }] });
  assert.deepEqual(patched.data, { k: '1', l: '2' });
  await refused(409, 'Conflict', core.replaceNamespacedConfigMap({ name: 'a', namespace, body: made }));
  patched.data = { k: '3' };
  const replaced = await core.replaceNamespacedConfigMap({ name: 'a', namespace, body: patched });
  assert.deepEqual(replaced.data, { k: '3' });
  const status = await refused(422, 'Invalid', core.createNamespacedConfigMap({ namespace, body: map('Not A Name') }));
  assert.equal(status.details.causes[0].field, 'metadata.name');
  const found = await core.listNamespacedConfigMap({ namespace, labelSelector: 'x=y' });
  assert.deepEqual(found.items.map((item) => item.metadata.name), ['a']);
}

async function definitions() {
  const schema = { type: 'object', properties: { spec: { type: 'object', properties: { sails: { type: 'integer', minimum: 1 } } } } };
  await extensions.createCustomResourceDefinition({
    body: {
      metadata: { name: 'boats.javascript.example.com' },
      spec: {
        group: kind.group,
        scope: 'Namespaced',
        names: { plural: 'boats', kind: 'Boat' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
      },
    },
  });
  const definition = await extensions.readCustomResourceDefinition({ name: 'boats.javascript.example.com' });
  assert.ok(definition.status.conditions.some((c) => c.type === 'Established' && c.status === 'True'));
  const boat = (name, sails) => ({ apiVersion: 'javascript.example.com/v1', kind: 'Boat', metadata: { name, namespace }, spec: { sails } });
  await custom.createNamespacedCustomObject({ ...kind, body: boat('argo', 2) });
  await refused(422, 'Invalid', custom.createNamespacedCustomObject({ ...kind, body: boat('raft', 0) }));
  // This one finds the resource by discovery.
  assert.equal((await objects.read(boat('argo'))).spec.sails, 2);
}

async function apply() {
  const ssa = (fieldManager, data, force) => objects.patch(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied', namespace }, data },
    undefined, undefined, fieldManager, force, 'application/apply-patch+yaml',
  );
  await ssa('one', { a: '1' });
  assert.deepEqual((await ssa('two', { b: '1' })).data, { a: '1', b: '1' });
  const status = await refused(409, 'Conflict', ssa('two', { a: '2', b: '1' }));
  assert.equal(status.details.causes[0].reason, 'FieldManagerConflict');
  const forced = await ssa('two', { a: '2', b: '1' }, true);
  assert.deepEqual(forced.metadata.managedFields.map((entry) => entry.manager), ['two']);
}

async function roles() {
  const own = new k8s.KubeConfig();
  own.loadFromFile(bobs);
  const bob = own.makeApiClient(k8s.CoreV1Api);
  const status = await refused(403, 'Forbidden', bob.listNamespacedConfigMap({ namespace }));
  assert.match(status.message, /User "bob" cannot list resource "configmaps"/);
  const rbac = config.makeApiClient(k8s.RbacAuthorizationV1Api);
  await rbac.createNamespacedRole({ namespace, body: { metadata: { name: 'reader' }, rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list'] }] } });
  await rbac.createNamespacedRoleBinding({
    namespace,
    body: {
      metadata: { name: 'bob' },
      subjects: [{ kind: 'User', name: 'bob', apiGroup: 'rbac.authorization.k8s.io' }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    },
  });
  assert.equal((await bob.readNamespacedConfigMap({ name: 'a', namespace })).metadata.name, 'a');
  await refused(403, 'Forbidden', bob.deleteNamespacedConfigMap({ name: 'a', namespace }));
}

async function watches() {
  const start = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;
  await core.createNamespacedConfigMap({ namespace, body: map('seen') });
  const told = [];
  await new Promise((resolve, reject) => {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const query = { resourceVersion: start, fieldSelector: 'metadata.name=seen', timeoutSeconds: 60 };
    new k8s.Watch(config).watch(path, query, (type) => {
      told.push(type);
      if (type === 'ADDED') {
        core.patchNamespacedConfigMap({ name: 'seen', namespace, body: [{ op: 'add', path: '/data', value: { k: 'v' } }] })
          .then(() => core.deleteNamespacedConfigMap({ name: 'seen', namespace })).catch(reject);
      }
      if (type === 'DELETED') resolve();
    }, reject).catch(reject);
  });
  assert.deepEqual(told, ['ADDED', 'MODIFIED', 'DELETED']);
}

async function informs() {
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, () => core.listNamespacedConfigMap({ namespace }));
  const seen = new Promise((resolve, reject) => {
    informer.on('add', (object) => { if (object.metadata.name === 'informed') resolve(); });
    informer.on('error', reject);
  });
  await informer.start();
  await core.createNamespacedConfigMap({ namespace, body: map('informed') });
  await seen;
  await informer.stop();
}

async function deletes() {
  const status = await core.deleteNamespacedConfigMap({ name: 'a', namespace });
  assert.equal(status.status, 'Success');
  await refused(404, 'NotFound', core.readNamespacedConfigMap({ name: 'a', namespace }));
  await refused(404, 'NotFound', core.createNamespacedConfigMap({ namespace: 'nowhere', body: map('a') }));
  await custom.deleteNamespacedCustomObject({ ...kind, name: 'argo' });
  await refused(404, 'NotFound', custom.getNamespacedCustomObject({ ...kind, name: 'argo' }));
  await extensions.deleteCustomResourceDefinition({ name: 'boats.javascript.example.com' });
}

for (const part of [coreKinds, definitions, apply, roles, watches, informs, deletes]) {
  await part();
  console.log('ok', part.name);
}
// Connections that are kept alive would keep the process, too.
process.exit(0);
