// Start `mergegraph lsp` for recipes, and stop it with the window.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

function activate() {
  const command = workspace.getConfiguration("mergegraph").get("command");
  const documentSelector = [{ scheme: "file", language: "mergegraph" }];
  client = new LanguageClient("mergegraph", "MergeGraph", { command, args: ["lsp"] }, { documentSelector });
  return client.start();
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };
