-- Conditional content, callouts and tabsets. This filter runs first, because the heading of a callout or a tab is not a
-- section, and hidden content must not be numbered.

local CALLOUTS = { note = "Note", tip = "Tip", warning = "Warning", important = "Important", caution = "Caution" }
local tabsets = 0

local function escape(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

-- Visibility

local function is_html(format)
  return format == "html" or format == "html:js"
end

local function hidden(element)
  local classes, attributes = element.classes, element.attributes
  local when, unless = attributes["when-format"], attributes["unless-format"]
  local matches = (when == nil or is_html(when)) and (unless == nil or not is_html(unless))
  if classes:includes("content-visible") then return not matches end
  if classes:includes("content-hidden") then return matches end
  return false
end

local function visible(element)
  if hidden(element) then return {} end
  element.attributes["when-format"], element.attributes["unless-format"] = nil, nil
  return element
end

-- Callouts

local function kind_of_callout(div)
  for _, class in ipairs(div.classes) do
    local kind = class:match("^callout%-(%a+)$")
    if CALLOUTS[kind or ""] then return kind end
  end
end

local function callout(div, kind)
  local content, attributes = div.content, div.attributes
  local title
  if attributes.title then
    title = pandoc.utils.blocks_to_inlines(pandoc.read(attributes.title, "markdown").blocks)
  elseif content[1] and content[1].t == "Header" then
    title = content[1].content
    content:remove(1)
  end
  local collapse = attributes.collapse
  local classes = pandoc.List({ "callout" })
  classes:extend(div.classes)
  local shown = pandoc.Inlines(title or { pandoc.Str(CALLOUTS[kind]) })
  if title then
    -- Screen readers get the kind of the callout in words, because its colour alone does not tell them.
    local name = pandoc.Span({ pandoc.Str(CALLOUTS[kind] .. ":"), pandoc.Space() }, pandoc.Attr("", { "aloud" }))
    shown:insert(1, name)
  end
  local heading = pandoc.Plain({ pandoc.Span(shown, pandoc.Attr("", { "callout-title" })) })
  local body = pandoc.Div(content, pandoc.Attr("", { "callout-body" }))
  if collapse then
    local id = div.identifier ~= "" and ' id="' .. escape(div.identifier) .. '"' or ""
    local open = collapse == "false" and " open" or ""
    return pandoc.Blocks({
      pandoc.RawBlock("html", "<details" .. id .. ' class="' .. table.concat(classes, " ") .. '"' .. open .. "><summary>"),
      heading,
      pandoc.RawBlock("html", "</summary>"),
      body,
      pandoc.RawBlock("html", "</details>"),
    })
  end
  return pandoc.Div({ pandoc.Div({ heading }, pandoc.Attr("", { "callout-header" })), body },
    pandoc.Attr(div.identifier, classes, { role = "note" }))
end

-- Tabsets: panels with titles, which page.js turns into tabs. Without the script all panels are shown in sequence.

local function tabset(div)
  tabsets = tabsets + 1
  local level
  local content, tabs = pandoc.Blocks({}), {}
  for _, block in ipairs(div.content) do
    if block.t == "Header" and (level == nil or block.level == level) then
      level = block.level
      table.insert(tabs, { title = block.content, id = block.identifier, blocks = pandoc.Blocks({}) })
    elseif #tabs > 0 then
      tabs[#tabs].blocks:insert(block)
    else
      content:insert(block)
    end
  end
  for i, tab in ipairs(tabs) do
    local id = "tabset-" .. tabsets .. "-" .. i
    tab.blocks:insert(1, pandoc.Div({ pandoc.Plain(tab.title) }, pandoc.Attr(id .. "-title", { "tab-title" })))
    content:insert(pandoc.Div(tab.blocks, pandoc.Attr(id, { "tab-panel" })))
  end
  local classes = div.classes:filter(function(class) return class ~= "panel-tabset" end)
  classes:insert(1, "tabset")
  return pandoc.Div(content, pandoc.Attr(div.identifier, classes, { ["data-group"] = div.attributes.group }))
end

local function block(div)
  if hidden(div) then return {} end
  local kind = kind_of_callout(div)
  if kind then return callout(div, kind) end
  if div.classes:includes("panel-tabset") then return tabset(div) end
  return visible(div)
end

return { { traverse = "topdown", Div = block, Span = visible } }
