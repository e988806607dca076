// Starts s3rver on a free port, prints the port, and ends with its stdin. Arguments: the folder of node_modules, a folder for objects.
const path = require('path');
const S3rver = require(path.join(process.argv[2], 's3rver'));
const options = { port: 0, address: '127.0.0.1', silent: true, directory: process.argv[3], configureBuckets: [{ name: 'pictures' }] };

new S3rver(options).run((error, address) => {
  if (error) throw error;
  console.log(address.port);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
