#include "cmd/manual.h"

#include <CLI/CLI.hpp>
#include <string_view>
#include <vector>

#include "tools/server_settings.h"

namespace cairn::cmd {
namespace {

// Text as troff prints it: a hyphen of a flag stays one that can be copied.
std::string Troff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      // A period or quote at the start of a line would be a request.
      if (out.empty() && (c == '.' || c == '\'')) out += "\\&";
      out += c;
    }
  }
  return out;
}

std::string Head(const std::string& name, int section, const std::string& what) {
  std::string title = name;
  for (char& c : title) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return ".TH " + Troff(title) + " " + std::to_string(section) +
         " \"\" \"cairn " CAIRN_VERSION "\" \"Cairn\"\n.SH NAME\n" + Troff(name) + " \\- " +
         Troff(what) + "\n";
}

std::string Synopsis(const CLI::App& command, const std::string& path) {
  std::string line = ".B " + Troff(path) + "\n";
  if (!command.get_subcommands({}).empty()) return line + ".I COMMAND\n[\\fIFLAG\\fR...]\n";
  line += "[\\fIFLAG\\fR...]\n";
  for (const CLI::Option* option : command.get_options()) {
    if (option->nonpositional()) continue;
    const std::string name =
        "\\fI" +
        Troff(option->get_type_name().empty() ? option->get_name(true) : option->get_type_name()) +
        "\\fR";
    const std::string more = option->get_expected_max() > 1 ? "..." : "";
    line += option->get_required() ? name + more + "\n" : "[" + name + "]" + more + "\n";
  }
  return line;
}

std::string Options(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    const bool flag = option->nonpositional();
    const std::string type = option->get_type_name();
    text += ".TP\n";
    if (flag) {
      text += "\\fB" + Troff(option->get_name(false, true)) + "\\fR";
      if (!type.empty()) text += " \\fI" + Troff(type) + "\\fR";
    } else {
      text += "\\fI" + Troff(type.empty() ? option->get_name(true) : type) + "\\fR";
    }
    text += "\n" + Troff(option->get_description()) + "\n";
    if (!option->get_default_str().empty() && flag) {
      text += "Default: " + Troff(option->get_default_str()) + ".\n";
    }
  }
  return text;
}

// The sections of a command: its flags, and those of the commands below it.
std::string Sections(const CLI::App& command, const std::string& path) {
  std::string text = ".SH OPTIONS\n" + Options(command);
  const std::vector<const CLI::App*> below = command.get_subcommands({});
  if (below.empty()) return text;
  text += ".SH COMMANDS\n";
  for (const CLI::App* sub : below) {
    const std::string name = path + " " + sub->get_name();
    text += ".SS " + Troff(name) + "\n" + Troff(sub->get_description()) + ".\n.PP\n" +
            Synopsis(*sub, name) + Options(*sub);
  }
  return text;
}

std::string Footer(const std::string& also) {
  return ".SH EXIT STATUS\n0: done. 1: tried and failed, or something is wrong. 2: wrong usage.\n"
         ".SH SEE ALSO\n" +
         also + "\n";
}

std::string Overview(const CLI::App& program) {
  std::string text = Head("cairn", 1, "a strongly consistent SQLite, replicated by Raft");
  text += ".SH SYNOPSIS\n" + Synopsis(program, "cairn");
  text += ".SH DESCRIPTION\n" + Troff(program.get_description()) +
          ".\nEach command has a page of its own, such as\n.BR cairn\\-server (1).\n" +
          ".SH OPTIONS\n" + Options(program) + ".SH COMMANDS\n";
  for (const CLI::App* command : program.get_subcommands({})) {
    text += ".TP\n.BR cairn\\-" + Troff(command->get_name()) + " (1)\n" +
            Troff(command->get_description()) + "\n";
  }
  text +=
      ".SH FILES\n.TP\n.I /etc/cairn/cairn.toml\nThe settings of the service; see\n"
      ".BR cairn.toml (5).\n.TP\n.I /var/lib/cairn\nThe data of the service.\n"
      ".SH ENVIRONMENT\n.TP\n.B CAIRN_TLS_DIR\nThe directory that \\fB\\-\\-tls\\-dir\\fR names.\n";
  return text + Footer(".BR cairn.toml (5),\n.BR sqlite3 (1)");
}

std::string ConfigurationPage() {
  std::string text = Head("cairn.toml", 5, "settings of cairn server");
  text +=
      ".SH DESCRIPTION\n.B cairn server \\-\\-config\n.I FILE\nreads this file, which is TOML. "
      "Each key is a flag of\n.BR cairn\\-server (1),\nand a flag outranks the file.\n.PP\n"
      ".B cairn config check\n.I FILE\ntells what is wrong with it.\n.SH KEYS\n";
  for (const tools::ServerSetting& setting : tools::ServerSettings()) {
    text += ".TP\n\\fB" + Troff(setting.name) + "\\fR = \\fI" +
            Troff(setting.unit.empty() ? "true|false" : setting.unit) + "\\fR\n" +
            Troff(setting.help) + "\n";
    if (!setting.default_text.empty()) text += "Default: " + Troff(setting.default_text) + ".\n";
  }
  return text + ".SH SEE ALSO\n.BR cairn\\-server (1),\n.BR cairn\\-config (1)\n";
}

// A command with its place in the tree, such as "cairn member add".
struct Place {
  std::string path;
  const CLI::App* command;
};
void Collect(const CLI::App& command, const std::string& path, std::vector<Place>* out) {
  out->push_back({path, &command});
  for (const CLI::App* sub : command.get_subcommands({})) {
    Collect(*sub, path + " " + sub->get_name(), out);
  }
}
std::vector<Place> Places(const CLI::App& program) {
  std::vector<Place> places;
  Collect(program, "cairn", &places);
  return places;
}

// "--port" and the like, of a flag that has several names all of them.
std::vector<std::string> FlagsOf(const CLI::Option& option) {
  std::vector<std::string> flags;
  for (const std::string& name : option.get_snames()) flags.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flags.push_back("--" + name);
  return flags;
}

bool TakesValue(const CLI::Option& option) { return option.get_type_size() != 0; }

// Text within single quotes of a shell.
std::string Quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// An entry of zsh's _describe: a name, a colon, and what it is.
std::string Described(std::string name, const std::string& what) {
  std::string escaped;
  for (const char c : name) escaped += c == ':' ? std::string("\\:") : std::string(1, c);
  return Quoted(escaped + ":" + what);
}

// The pattern of all places but the program itself: "cairn member"|"cairn member add".
std::string PlacePattern(const std::vector<Place>& places) {
  std::string pattern;
  for (size_t i = 1; i < places.size(); ++i) {
    pattern += (i == 1 ? "" : "|") + std::string("\"") + places[i].path + "\"";
  }
  return pattern;
}

}  // namespace

std::map<std::string, std::string> ManualPages(const CLI::App& program) {
  std::map<std::string, std::string> pages;
  pages["cairn.1"] = Overview(program);
  for (const CLI::App* command : program.get_subcommands({})) {
    const std::string name = "cairn-" + command->get_name();
    const std::string path = "cairn " + command->get_name();
    std::string text = Head(name, 1, command->get_description());
    text += ".SH SYNOPSIS\n" + Synopsis(*command, path);
    text += ".SH DESCRIPTION\n" + Troff(command->get_description()) + ".\n";
    pages[name + ".1"] =
        text + Sections(*command, path) + Footer(".BR cairn (1),\n.BR cairn.toml (5)");
  }
  pages["cairn.toml.5"] = ConfigurationPage();
  return pages;
}

std::string BashCompletion(const CLI::App& program) {
  const std::vector<Place> places = Places(program);
  std::string text =
      "# Completion of cairn for bash, made by `cairn completion bash`.\n"
      "_cairn() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} place=cairn words='' valued='' i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"$place ${COMP_WORDS[i]}\" in\n"
      "      " +
      PlacePattern(places) +
      ") place=\"$place ${COMP_WORDS[i]}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$place\" in\n";
  for (const Place& place : places) {
    std::string words;
    std::string valued;
    for (const CLI::App* sub : place.command->get_subcommands({})) words += sub->get_name() + " ";
    for (const CLI::Option* option : place.command->get_options()) {
      for (const std::string& flag : FlagsOf(*option)) {
        words += flag + " ";
        if (TakesValue(*option)) valued += " " + flag;
      }
    }
    text += "    \"" + place.path + "\") words=" + Quoted(words) +
            " valued=" + Quoted(valued + " ") + " ;;\n";
  }
  return text +
         "  esac\n"
         "  COMPREPLY=()\n"
         "  # The value of a flag, and arguments, may be files.\n"
         "  if [[ $valued != *\" ${COMP_WORDS[COMP_CWORD - 1]} \"* ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  fi\n"
         "  if [[ ${#COMPREPLY[@]} -eq 0 && $current != -* ]]; then\n"
         "    compopt -o filenames 2>/dev/null\n"
         "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -F _cairn cairn\n";
}

std::string ZshCompletion(const CLI::App& program) {
  const std::vector<Place> places = Places(program);
  std::string text =
      "#compdef cairn\n"
      "# Completion of cairn for zsh, made by `cairn completion zsh`.\n"
      "_cairn() {\n"
      "  local place=cairn i\n"
      "  local -a commands flags\n"
      "  for ((i = 2; i < CURRENT; i++)); do\n"
      "    case \"$place ${words[i]}\" in\n"
      "      (" +
      PlacePattern(places) +
      ") place=\"$place ${words[i]}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$place\" in\n";
  for (const Place& place : places) {
    text += "    (\"" + place.path + "\")\n      commands=(";
    for (const CLI::App* sub : place.command->get_subcommands({})) {
      text += " " + Described(sub->get_name(), sub->get_description());
    }
    text += " )\n      flags=(";
    for (const CLI::Option* option : place.command->get_options()) {
      for (const std::string& flag : FlagsOf(*option)) {
        text += " " + Described(flag, option->get_description());
      }
    }
    text += " ) ;;\n";
  }
  return text +
         "  esac\n"
         "  if [[ $PREFIX == -* ]]; then\n"
         "    _describe -o flag flags\n"
         "  elif (( $#commands )); then\n"
         "    _describe command commands\n"
         "  else\n"
         "    _files\n"
         "  fi\n"
         "}\n"
         "_cairn \"$@\"\n";
}

}  // namespace cairn::cmd
