// Azurite as a server of queues that keeps what it has confirmed: by itself it writes that down
// every five seconds.
//
//     serve.js MODULES [what else Azurite is told]
const [modules, ...told] = process.argv.slice(2);
process.argv.splice(2, process.argv.length, ...told);
const source = `${modules}/azurite/dist/src/`;

// Has some methods of a store end once all is in its file.
const keep = (store, names) => {
  for (const name of names) {
    const call = store.prototype[name];
    store.prototype[name] = async function (...args) {
      const answer = await call.apply(this, args);
      const save = (done, failed) => this.db.saveDatabase((error) => (error ? failed(error) : done()));
      await new Promise(save);
      return answer;
    };
  }
};

keep(require(`${source}queue/persistence/LokiQueueMetadataStore`).default, [
  "createQueue",
  "deleteMessage",
  "deleteQueue",
  "insertMessage",
  "setQueueMetadata",
]);
keep(require(`${source}common/persistence/LokiExtentMetadataStore`).default, ["updateExtent"]);
require(`${source}queue/main`);
