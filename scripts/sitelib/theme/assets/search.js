// Who looks for --option means that option. For the search of the theme, a dash before a word leaves it out.
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (message, ...rest) {
  const isQuery = message?.type === 2 && typeof message.data === "string";
  const asked = isQuery ? { ...message, data: message.data.replace(/(^|\s)-+(?=\w)/g, "$1") } : message;
  return post.call(this, asked, ...rest);
};
