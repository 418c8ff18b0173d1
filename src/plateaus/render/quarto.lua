-- What Quarto adds to pandoc's Markdown: callouts, tabsets, layouts and cross-references.
-- Runs before citeproc, which would take @fig-... for a citation.

local NAMES = { fig = "Figure", tbl = "Table", sec = "Section", eq = "Equation" }
local CALLOUTS = { note = "Note", tip = "Tip", warning = "Warning", important = "Important", caution = "Caution" }

local numbers = {} -- id to the text of its number
local counts = { fig = 0, tbl = 0, eq = 0 }
local sections = {}
local group = 0

local function kind_of(id)
  return id:match("^(%a+)%-")
end

local function count(id)
  local kind = kind_of(id)
  if counts[kind] == nil or numbers[id] then return nil end
  counts[kind] = counts[kind] + 1
  numbers[id] = tostring(counts[kind])
  return kind
end

local function label(kind, id)
  return pandoc.Span({ pandoc.Str(NAMES[kind] .. "\u{a0}" .. numbers[id] .. ": ") }, pandoc.Attr("", { "caption-label" }))
end

-- First pass: number everything, in the order of the document.

local function number_header(header)
  if header.classes:includes("unnumbered") then return nil end
  for level = header.level + 1, 6 do sections[level] = 0 end
  sections[header.level] = (sections[header.level] or 0) + 1
  local parts = {}
  for level = 1, header.level do
    if (sections[level] or 0) > 0 or #parts > 0 then table.insert(parts, tostring(sections[level] or 0)) end
  end
  if header.identifier ~= "" then numbers[header.identifier] = table.concat(parts, ".") end
end

local function prefix_caption(caption, prefix)
  local long = caption.long
  if #long > 0 and (long[1].t == "Plain" or long[1].t == "Para") then
    table.insert(long[1].content, 1, prefix)
  else
    table.insert(long, 1, pandoc.Plain({ prefix }))
  end
  caption.long = long
  return caption
end

local function number_figure(figure)
  local id = figure.identifier
  local alt = nil
  figure = figure:walk({
    Image = function(image)
      if id == "" and kind_of(image.identifier) == "fig" then
        id = image.identifier
        image.identifier = ""
      end
      if image.attributes["fig-alt"] then
        alt = image.attributes["fig-alt"]
        image.attributes["fig-alt"] = nil
        image.caption = { pandoc.Str(alt) }
        image.attributes["alt"] = alt
      end
      image.attributes["loading"] = nil
      return image
    end,
  })
  figure.identifier = id
  local kind = count(id)
  if kind then figure.caption = prefix_caption(figure.caption, label(kind, id)) end
  return figure
end

local function number_table(tbl)
  local last = tbl.caption.long[#tbl.caption.long]
  if last and last.content and #last.content > 0 then
    local text = pandoc.utils.stringify(last)
    local id = text:match("{#(tbl%-[%w_-]+)}%s*$")
    if id then
      local content = last.content
      while #content > 0 and not pandoc.utils.stringify(content[#content]):match("^{#") do content:remove(#content) end
      content:remove(#content)
      if #content > 0 and content[#content].t == "Space" then content:remove(#content) end
      tbl.identifier = id
    end
  end
  local kind = count(tbl.identifier)
  if kind then tbl.caption = prefix_caption(tbl.caption, label(kind, tbl.identifier)) end
  return pandoc.Div({ tbl }, pandoc.Attr("", { "table-box" }, { tabindex = "0" }))
end

local function number_equations(para)
  local content = para.content
  for i = 1, #content do
    local one = content[i]
    if one.t == "Math" and one.mathtype == "DisplayMath" then
      local after = content[i + 1] and content[i + 1].t == "Space" and i + 2 or i + 1
      local id = content[after] and content[after].t == "Str" and content[after].text:match("^{#(eq%-[%w_-]+)}$")
      if id and count(id) then
        local number = pandoc.Span({ pandoc.Str("(" .. numbers[id] .. ")") }, pandoc.Attr("", { "equation-number" }))
        local box = pandoc.Span({ one, number }, pandoc.Attr(id, { "equation" }))
        for _ = i, after do content:remove(i) end
        content:insert(i, box)
        return pandoc.Para(content)
      end
    end
  end
end

-- Second pass: references, callouts, tabsets, layouts.

local function reference(cite)
  local inlines = {}
  for i, citation in ipairs(cite.citations) do
    local id, kind = citation.id, kind_of(citation.id)
    if not NAMES[kind or ""] then return nil end
    if i > 1 then table.insert(inlines, pandoc.Str(", ")) end
    if numbers[id] then
      local text = numbers[id]
      if kind == "eq" then text = "(" .. text .. ")" end
      if citation.mode ~= "SuppressAuthor" then text = NAMES[kind] .. "\u{a0}" .. text end
      table.insert(inlines, pandoc.Link({ pandoc.Str(text) }, "#" .. id, "", pandoc.Attr("", { "cross-reference" })))
    else
      io.stderr:write("unresolved reference @" .. id .. "\n")
      table.insert(inlines, pandoc.Strong({ pandoc.Str("?@" .. id) }))
    end
  end
  return inlines
end

local function callout(div, kind)
  local title = div.attributes.title
  local content = div.content
  local heading = title and pandoc.Plain({ pandoc.Str(title) })
  if not heading and #content > 0 and content[1].t == "Header" then
    heading = pandoc.Plain(content[1].content)
    content:remove(1)
  end
  heading = heading or pandoc.Plain({ pandoc.Str(CALLOUTS[kind]) })
  local body = pandoc.Div(content, pandoc.Attr("", { "callout-body" }))
  local classes = { "callout", "callout-" .. kind }
  if div.attributes.collapse then
    local open = div.attributes.collapse == "false" and " open" or ""
    return {
      pandoc.RawBlock("html", '<details class="' .. table.concat(classes, " ") .. '"' .. open .. "><summary>"),
      heading,
      pandoc.RawBlock("html", "</summary>"),
      body,
      pandoc.RawBlock("html", "</details>"),
    }
  end
  local top = pandoc.Div({ heading }, pandoc.Attr("", { "callout-title" }))
  return pandoc.Div({ top, body }, pandoc.Attr(div.identifier, classes, { role = "note" }))
end

local function tabset(div)
  group = group + 1
  local level = nil
  local tabs = {}
  for _, block in ipairs(div.content) do
    if block.t == "Header" and (level == nil or block.level == level) then
      level = block.level
      table.insert(tabs, { title = block.content, blocks = {} })
    elseif #tabs > 0 then
      table.insert(tabs[#tabs].blocks, block)
    end
  end
  local panels = {}
  for i, tab in ipairs(tabs) do
    local id = "tabset-" .. group .. "-" .. i
    local title = pandoc.Div({ pandoc.Plain(tab.title) }, pandoc.Attr(id .. "-title", { "tab-title" }))
    table.insert(panels, pandoc.Div({ title, table.unpack(tab.blocks) }, pandoc.Attr(id, { "tab-panel" })))
  end
  return pandoc.Div(panels, pandoc.Attr(div.identifier, { "tabset" }, { group = div.attributes.group or "" }))
end

local function div(block)
  for kind, _ in pairs(CALLOUTS) do
    if block.classes:includes("callout-" .. kind) then return callout(block, kind) end
  end
  if block.classes:includes("panel-tabset") then return tabset(block) end
  if block.classes:includes("content-visible") and (block.attributes["when-format"] or "html"):match("^html") == nil then
    return {}
  end
  if block.classes:includes("content-hidden") and (block.attributes["when-format"] or ""):match("^html") then
    return {}
  end
  if block.attributes["layout-ncol"] then
    block.classes:insert("layout")
    block.attributes.style = "--columns:" .. block.attributes["layout-ncol"]
    block.attributes["layout-ncol"] = nil
    return block
  end
  if kind_of(block.identifier) == "fig" and numbers[block.identifier] == nil then return nil end
end

-- Headings inside a tabset name tabs: they are no sections and have no number.
local function number_blocks(blocks)
  local function walk(list, in_tabset)
    for i = 1, #list do
      local block = list[i]
      if block.t == "Header" then
        if not in_tabset then number_header(block) end
      elseif block.t == "Div" then
        local titled = in_tabset or block.classes:includes("panel-tabset")
        for kind, _ in pairs(CALLOUTS) do titled = titled or block.classes:includes("callout-" .. kind) end
        walk(block.content, titled)
      end
    end
  end
  walk(blocks, false)
end

function Pandoc(document)
  number_blocks(document.blocks)
  document = document:walk({ Figure = number_figure, Table = number_table, Para = number_equations })
  document = document:walk({ Cite = reference })
  document = document:walk({ Div = div })
  return document
end
