; Score, coins and clock, and the status line that shows them with the world.

.include "memory.inc"

TICK = 24 ; frames of a unit of the clock
DRAIN_POINTS = 5 ; 50 points for a unit left
COIN_POINTS = 2  ; 200

; Addresses in video memory.
LABELS = $2042
SCORE  = $2062
ZERO   = $2068 ; the score's last digit never changes
COIN   = $206A
LEVEL  = $2072
TIME   = $2079

.segment "CODE"

; Adds A to digit X of the score, which has six from 0 on; X 5 are tens of points.
add_score:
  clc
  adc score_digits, x
: sta score_digits, x
  cmp #10
  bcc @done
  sbc #10
  sta score_digits, x
  dex
  bmi @full
  lda score_digits, x
  adc #0 ; carry is set
  jmp :-
@full: ; all nines, and no further
  ldx #5
  lda #9
: sta score_digits, x
  dex
  bpl :-
@done:
  lda hud_changed
  ora #HUD_SCORE
  sta hud_changed
  rts

add_coin:
  inc coins
  inc coin_digits + 1
  lda coin_digits + 1
  cmp #10
  bcc @points
  lda #0
  sta coin_digits + 1
  inc coin_digits
  lda coin_digits
  cmp #10
  bcc @points
  lda #0
  sta coin_digits
  sta coins
  inc lives
@points:
  lda hud_changed
  ora #HUD_COINS
  sta hud_changed
  lda #COIN_POINTS
  ldx #4
  bne add_score ; always

; A frame of the clock while he plays; at 0 he dies.
tick_clock:
  lda player_state
  cmp #STATE_PLAY
  bne @done
  dec clock_timer
  bne @done
  lda #TICK
  sta clock_timer
  jsr count_down
  bcs @done
  lda #1
  sta clock_ran_out
  jmp kill_player
@done:
  rts

; Takes a unit from the clock. Carry is clear if it is 0 then.
count_down:
  lda hud_changed
  ora #HUD_CLOCK
  sta hud_changed
  ldx #2
@digit:
  dec clock_digits, x
  bpl @borrowed
  lda #9
  sta clock_digits, x
  dex
  bpl @digit
@borrowed:
  lda clock_digits
  ora clock_digits + 1
  ora clock_digits + 2
  cmp #1 ; carry is set from 1 on
  rts

; Moves a unit from the clock to the score. Carry is clear once there is none.
drain_clock:
  lda clock_digits
  ora clock_digits + 1
  ora clock_digits + 2
  cmp #1
  bcc @done
  jsr count_down
  lda #DRAIN_POINTS
  ldx #5
  jsr add_score
  sec
@done:
  rts

; Queues what has changed, to be called once a frame.
show_status:
  lsr hud_changed
  bcc :+
  ldy #field_score - fields
  jsr queue_digits
: lsr hud_changed
  bcc :+
  ldy #field_coins - fields
  jsr queue_digits
: lsr hud_changed
  bcc :+
  ldy #field_clock - fields
  jsr queue_digits
: lda #0
  sta hud_changed
  rts

; Queues the digits of the field at fields + Y.
queue_digits:
  lda #$20
  sta t0
  lda fields, y
  sta t1
  lda fields + 1, y
  sta t2
  lda fields + 2, y
  sta pointer
  lda fields + 3, y
  sta pointer + 1
  lda t2
  jsr queue_open
  ldy #0
: lda (pointer), y
  clc
  adc #'0' - FIRST_LETTER
  sta vram_queue, x
  inx
  iny
  cpy t2
  bne :-
  jmp queue_close

; Queues world and stage: in the status line, or at t0, t1.
queue_world:
  lda #>LEVEL
  sta t0
  lda #<LEVEL
  sta t1
queue_world_at:
  lda #3
  jsr queue_open
  lda world
  clc
  adc #'1' - FIRST_LETTER
  sta vram_queue, x
  inx
  lda #'-' - FIRST_LETTER
  sta vram_queue, x
  inx
  lda stage
  clc
  adc #'1' - FIRST_LETTER
  sta vram_queue, x
  inx
  jmp queue_close

; Writes the whole status line; while no picture is sent.
draw_status:
  lda #>LABELS
  sta t0
  lda #<LABELS
  sta t1
  lda #<text_labels
  sta pointer
  lda #>text_labels
  sta pointer + 1
  jsr draw_text
  lda #<ZERO
  sta t1
  lda #1
  jsr queue_open
  lda #'0' - FIRST_LETTER
  sta vram_queue, x
  inx
  jsr queue_close
  lda #<COIN
  sta t1
  lda #2
  jsr queue_open
  lda #BG_COIN_ICON
  sta vram_queue, x
  inx
  lda #'*' - FIRST_LETTER
  sta vram_queue, x
  inx
  jsr queue_close
  jsr queue_world
  lda #$23 ; colours of the status line: white, but for the coin
  sta t0
  lda #$C0
  sta t1
  lda #8
  jsr queue_open
  ldy #0
: lda status_colours, y
  sta vram_queue, x
  inx
  iny
  cpy #8
  bne :-
  jsr queue_close
  lda #HUD_SCORE | HUD_COINS | HUD_CLOCK
  sta hud_changed
  jsr show_status
  ldx #3 ; the sprite at which the screen is split
: lda split_sprite, x
  sta oam, x
  dex
  bpl :-
  rts

.segment "RODATA"

text_labels: .byte @end - @start
@start: .byte "SCORE          WORLD  TIME"
@end:

; Where in video memory (its high byte is $20), how many, which digits.
fields:
field_score: .byte <SCORE, 6
  .addr score_digits
field_coins: .byte <(COIN + 2), 2
  .addr coin_digits
field_clock: .byte <TIME, 3
  .addr clock_digits

status_colours: .byte $AA, $AA, $EA, $AA, $AA, $AA, $AA, $AA

; Behind the coin of the status line: y, tile, attributes, x.
split_sprite: .byte 24 - 1, SPR_SPLIT, BEHIND, (<COIN & $1F) * 8
