; The order of screens: title, "WORLD 1-1", the level, game over. One step of one task a frame.

.include "memory.inc"

START_LIVES   = 2  ; after the first
SCREEN_TIME   = 7  ; intervals that "WORLD 1-1" is shown
OVER_TIME     = 20 ; and "GAME OVER"
FIRST_COLUMNS = 24 ; drawn before a level begins
ENTER_FRAMES  = 8  ; that show a level before it can be played

; Places on screens of text.
LOGO          = $20E2 ; letters of 3 by 5 tiles, 4 columns each
LOGO_ROWS     = 5
LOGO_LETTERS  = 7
PRESS_START   = $222A
WORLD_LINE    = $214B
NAME_LINE     = $21A0
LIVES_LINE    = $2231
HERO_X        = 108
HERO_Y        = 110
OVER_LINE     = $21CB

.segment "CODE"

run_mode:
  lda mode
  asl
  asl
  ora task
  asl
  tax
  lda tasks + 1, x
  pha
  lda tasks, x
  pha
nothing:
  rts

next_task:
  inc task
  rts

; Title: the first level's start, with the name above it.

title_start:
  jsr screen_off
  lda #0
  sta world
  sta stage
  sta area
  sta power
  sta game_won
  sta coins
  sta coin_digits
  sta coin_digits + 1
  ldx #5
: sta score_digits, x
  dex
  bpl :-
  lda #START_LIVES
  sta lives
  jsr clear_screen
; Continues here for every level: its picture without the columns.
level_start:
  jsr screen_off
  jsr load_level
  jsr send_palette
  jsr flush_vram
  jsr draw_status
  jsr flush_vram
  jmp next_task

; A column a frame, so that this takes the time of no frame.
level_columns_draw:
: jsr draw_column
  php
  jsr flush_vram
  plp
  bne :-
  lda column_next
  cmp #FIRST_COLUMNS
  bne :+
  inc task
: rts

title_show:
  jsr draw_logo
  jsr draw_player
  jsr screen_on
  jmp next_task

title_wait:
  jsr draw_player
  lda pressed
  and #BUTTON_SELECT
  beq :+
  jsr select_level
: lda pressed
  and #BUTTON_START
  beq @stay
  lda world ; a tool may have written a level that this game does not have
  cmp #LAST_WORLD + 1
  bcs @stay
  lda stage
  cmp #LAST_STAGE + 1
  bcs @stay
  lda #MODE_PLAY
  sta mode
  lda #0
  sta task
@stay:
  rts

; Select goes through the levels.
select_level:
  jsr next_level
  bcc :+
  lda #0
  sta world
  sta stage
  sta area
: jmp queue_world

; The name: a tile wherever a letter has a bit.
draw_logo:
  ldx #LOGO_ROWS - 1
@row:
  stx t7
  lda logo_low, x
  sta t4
  lda logo_high, x
  sta t0
  txa
  clc
  adc #LOGO_ROWS * (LOGO_LETTERS - 1) ; the last letter's bits of this row
  tay
  lda #(LOGO_LETTERS - 1) * 4
  sta t5 ; columns from the first letter
@letter:
  sty t6
  lda logo_letters, y
  ldy t5
@bit:
  asl
  pha
  bcc :+
  tya
  clc
  adc t4
  sta t1
  lda #1
  jsr queue_open
  lda #BG_CHIP
  sta vram_queue, x
  inx
  jsr queue_close
: iny
  pla
  bne @bit ; until no bit is left
  lda t5
  sec
  sbc #4
  sta t5
  lda t6
  sec
  sbc #LOGO_ROWS
  tay
  bcs @letter
  jsr flush_vram
  ldx t7
  dex
  bpl @row

  lda #$23 ; gold for it, white for the text
  sta t0
  lda #$C8
  ldx #16
  ldy #$FF
  jsr queue_fill
  lda #$E2
  ldx #4
  ldy #$AA
  jsr queue_fill
  lda #<text_press_start
  ldy #>text_press_start
  ldx #<PRESS_START
  jsr queue_text
  jmp flush_vram

; Queues X times the byte Y at t0, A.
queue_fill:
  sta t1
  stx t2
  txa
  jsr queue_open
  tya
: sta vram_queue, x
  inx
  dec t2
  bne :-
  jmp queue_close

; Queues the text at A (low), Y at the place X in the lines from $2200 on.
queue_text:
  sta pointer
  sty pointer + 1
  stx t1
  lda #$22
  sta t0
  jmp draw_text

; "WORLD 1-1", until screen_timer is 0.

intro_start:
  jsr screen_off
  jsr clear_screen
  jsr send_black_palette
  jsr load_level ; for the name and the clock
  jsr flush_vram
  jsr draw_status
  jsr flush_vram
  lda #<text_world
  sta pointer
  lda #>text_world
  sta pointer + 1
  lda #>WORLD_LINE
  sta t0
  lda #<WORLD_LINE
  sta t1
  jsr draw_text
  lda #<(WORLD_LINE + 6)
  sta t1
  jsr queue_world_at
  lda level_name
  sta pointer
  lda level_name + 1
  sta pointer + 1
  ldy #0
  lda #32 ; in the middle of the line
  sec
  sbc (pointer), y
  lsr
  ora #<NAME_LINE
  sta t1
  lda #>NAME_LINE
  sta t0
  jsr draw_text
  lda #>LIVES_LINE
  sta t0
  lda #<LIVES_LINE
  sta t1
  lda #3
  jsr queue_open
  lda #'*' - FIRST_LETTER
  sta vram_queue, x
  inx
  lda #0
  sta vram_queue, x
  inx
  ldy lives
  iny ; with the one that begins
  tya
  clc
  adc #'0' - FIRST_LETTER
  sta vram_queue, x
  inx
  jsr queue_close
  jsr flush_vram
  jsr intro_hero
  jsr screen_on
  lda #SCREEN_TIME
  sta screen_timer
  lda #INTERVAL
  sta interval
  jmp next_task

intro_wait:
  jsr intro_hero
  lda screen_timer
  bne @wait
  jmp level_start
@wait:
  dec interval
  bne :+
  lda #INTERVAL
  sta interval
  dec screen_timer
: rts

; The hero beside the number of his lives.
intro_hero:
  lda #HERO_X
  sta obj_x
  lda #HERO_Y
  sta obj_y
  jmp draw_player

level_show:
  jsr level_columns_draw
  lda task
  cmp #TASK_PLAY
  bne @done
  jsr screen_on
  lda #1
  sta split_screen
  lda #ENTER_FRAMES
  sta state_timer
  jmp play_frame
@done:
  rts

; The end, of lives or of levels.

over_start:
  jsr screen_off
  jsr clear_screen
  jsr send_black_palette
  jsr flush_vram
  jsr draw_status
  jsr flush_vram
  lda #<text_over
  ldy #>text_over
  ldx game_won
  beq :+
  lda #<text_won
  ldy #>text_won
: sta pointer
  sty pointer + 1
  lda #>OVER_LINE
  sta t0
  lda #<OVER_LINE
  sta t1
  jsr draw_text
  jsr flush_vram
  jsr screen_on
  lda #OVER_TIME
  sta over_timer
  lda #INTERVAL
  sta interval
  jmp next_task

over_wait:
  lda pressed
  and #BUTTON_START
  bne @title
  dec interval
  bne @stay
  lda #INTERVAL
  sta interval
  dec over_timer
  bne @stay
@title:
  lda #MODE_TITLE
  sta mode
  sta task
@stay:
  rts

.segment "RODATA"

; Four tasks of each mode.
tasks:
  .addr title_start - 1, level_columns_draw - 1, title_show - 1, title_wait - 1
  .addr intro_start - 1, intro_wait - 1, level_show - 1, play_frame - 1
  .addr nothing - 1, nothing - 1, nothing - 1, nothing - 1 ; Super Mario Bros.' victory
  .addr over_start - 1, over_wait - 1, nothing - 1, nothing - 1

.macro text label, letters
label: .byte .strlen(letters), letters
.endmacro
text text_press_start, "PRESS START"
text text_world, "WORLD"
text text_over, "GAME OVER"
text text_won, "WELL DONE"

; Where each row of the name starts.
logo_low:
  .repeat LOGO_ROWS, row
    .byte .lobyte(LOGO + 32 * row)
  .endrepeat
logo_high:
  .repeat LOGO_ROWS, row
    .byte .hibyte(LOGO + 32 * row)
  .endrepeat

; F, O, X, T, R, O, T; five rows each, from the top.
logo_letters:
  .byte %11100000, %10000000, %11000000, %10000000, %10000000
  .byte %11100000, %10100000, %10100000, %10100000, %11100000
  .byte %10100000, %10100000, %01000000, %10100000, %10100000
  .byte %11100000, %01000000, %01000000, %01000000, %01000000
  .byte %11000000, %10100000, %11000000, %10100000, %10100000
  .byte %11100000, %10100000, %10100000, %10100000, %11100000
  .byte %11100000, %01000000, %01000000, %01000000, %01000000
