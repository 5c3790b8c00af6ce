// snapshot.mjs LIBRARY TYPE NAME REVISION: `snapshotDownload`, as programs for node call it.
const [library, type, name, revision] = process.argv.slice(2);
const { snapshotDownload } = await import(library);
const accessToken = process.env.HF_TOKEN;
console.debug = () => {};
console.log(await snapshotDownload({ repo: { type, name }, revision, accessToken, hubUrl: process.env.HF_ENDPOINT }));
